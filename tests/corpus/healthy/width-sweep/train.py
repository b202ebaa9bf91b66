"""Tries a few widths and learning rates for a wine classifier and keeps the best."""

import argparse
import itertools

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def build(width, depth):
    layers, n = [], 13
    for _ in range(depth):
        layers += [nn.Linear(n, width), nn.ReLU()]
        n = width
    return nn.Sequential(*layers, nn.Linear(n, 3))


def fit(model, data, lr, epochs=40, batch_size=16):
    Xt, Xv, yt, yv = data
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    criterion = nn.CrossEntropyLoss()
    best = 0.0
    for epoch in range(epochs):
        model.train()
        for idx in torch.randperm(len(Xt)).split(batch_size):
            optimizer.zero_grad()
            loss = criterion(model(Xt[idx]), yt[idx])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            acc = (model(Xv).argmax(1) == yv).float().mean().item()
        best = max(best, acc)
    return best, loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    X, y = load_wine(return_X_y=True)
    Xt, Xv, yt, yv = train_test_split(X, y, test_size=0.3, random_state=args.seed, stratify=y)
    scaler = StandardScaler().fit(Xt)

    def as_tensor(a):
        return torch.tensor(scaler.transform(a), dtype=torch.float32)

    data = as_tensor(Xt), as_tensor(Xv), torch.tensor(yt), torch.tensor(yv)

    results = {}
    for width, lr in itertools.product([8, 32], [1e-3, 3e-3, 1e-2]):
        torch.manual_seed(args.seed)
        results[width, lr] = fit(build(width, 2), data, lr)
        print(
            f"width {width:3d} lr {lr:.0e}: val acc {results[width, lr][0]:.3f}, last loss {results[width, lr][1]:.4f}"
        )
    best = max(results, key=lambda k: results[k][0])
    print(f"best: width {best[0]}, lr {best[1]:.0e}")


if __name__ == "__main__":
    main()
