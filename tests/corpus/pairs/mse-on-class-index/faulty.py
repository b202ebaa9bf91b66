import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def accuracy(model, inputs, labels):
    model.eval()
    with torch.no_grad():
        predicted = model(inputs).squeeze(1).round().long()
    return (predicted == labels).float().mean().item()


def main(args):
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)

    features, labels = load_digits(return_X_y=True)
    features = features.astype("float32") / 16.0
    x_train, x_val, y_train, y_val = train_test_split(features, labels, test_size=0.2, random_state=args.seed)
    x_train, x_val = torch.from_numpy(x_train), torch.from_numpy(x_val)
    y_train, y_val = torch.from_numpy(y_train), torch.from_numpy(y_val)

    model = nn.Sequential(
        nn.Linear(64, 100),
        nn.ReLU(),
        nn.Linear(100, 50),
        nn.ReLU(),
        nn.Linear(50, 1),
    )
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        permutation = torch.randperm(len(x_train))
        epoch_loss = 0.0
        for i in range(0, len(x_train), args.batch_size):
            indices = permutation[i : i + args.batch_size]
            batch_x, batch_y = x_train[indices], y_train[indices]
            optimizer.zero_grad()
            outputs = model(batch_x).squeeze(1)
            loss = loss_fn(outputs, batch_y.float())
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(indices)
        train_acc = accuracy(model, x_train, y_train)
        val_acc = accuracy(model, x_val, y_val)
        print(f"Epoch {epoch + 1} loss={epoch_loss / len(x_train):.4f} acc={train_acc:.3f} val={val_acc:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    main(parser.parse_args())
