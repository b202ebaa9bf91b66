import argparse

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def build(n_features, n_classes, width=64):
    return nn.Sequential(
        nn.Linear(n_features, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(width, n_classes),
    )


def evaluate(net, loader, loss_fn):
    net.eval()
    total, truth, guess = 0.0, [], []
    with torch.no_grad():
        for x, y in loader:
            out = net(x)
            total += loss_fn(out, y).item() * y.size(0)
            truth.append(y.numpy())
            guess.append(out.argmax(1).numpy())
    truth, guess = np.concatenate(truth), np.concatenate(guess)
    return total / len(truth), f1_score(truth, guess, average="macro")


def main(seed, epochs, lr):
    torch.manual_seed(seed)
    X, y = make_classification(
        n_samples=2400, n_features=20, n_informative=10, n_classes=3, class_sep=1.5, flip_y=0.02, random_state=seed
    )
    X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.25, random_state=seed)
    mu, sigma = X_train.mean(0), X_train.std(0)
    tensors = lambda X, y: TensorDataset(torch.tensor((X - mu) / sigma).float(), torch.tensor(y))  # noqa: E731
    train_loader = DataLoader(tensors(X_train, y_train), batch_size=50, shuffle=True)
    val_loader = DataLoader(tensors(X_val, y_val), batch_size=200)

    net = build(20, 3)
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.AdamW(net.parameters(), lr=lr)

    for epoch in range(1, epochs + 1):
        net.train()
        seen, loss_sum = 0, 0.0
        for x, y in train_loader:
            opt.zero_grad()
            loss = loss_fn(net(x), y)
            loss.backward()
            opt.step()
            loss_sum += loss.item() * len(y)
            seen += len(y)
        val_loss, val_f1 = evaluate(net, val_loader, loss_fn)
        print(f"epoch={epoch} train_loss={loss_sum / seen:.4f} val_loss={val_loss:.4f} val_f1={val_f1:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=1e-3)
    main(**vars(parser.parse_args()))
