import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_circles
from torch.utils.data import DataLoader, TensorDataset


def make_loaders(n, batch_size, seed):
    X, y = make_circles(n_samples=n, noise=0.08, factor=0.5, random_state=seed)
    X = torch.tensor(X, dtype=torch.float32)
    X = X / X.std(0)
    y = torch.tensor(y, dtype=torch.long)
    cut = int(0.8 * n)
    train = DataLoader(TensorDataset(X[:cut], y[:cut]), batch_size=batch_size, shuffle=True)
    val = DataLoader(TensorDataset(X[cut:], y[cut:]), batch_size=batch_size)
    return train, val


def fit(model, train, val, epochs, lr):
    opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loss_func = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for xb, yb in train:
            pred = model(xb)
            loss = loss_func(pred, yb)

            opt.zero_grad()
            loss.backward()
            opt.step()

        model.eval()
        with torch.no_grad():
            valid_loss = sum(loss_func(model(xb), yb).item() for xb, yb in val) / len(val)
            acc = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in val) / len(val.dataset)
        print(epoch, f"{loss.item():.4f}", f"{valid_loss:.4f}", f"{acc:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, val = make_loaders(1500, 32, args.seed)
    model = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))
    fit(model, train, val, args.epochs, args.lr)


if __name__ == "__main__":
    main()
