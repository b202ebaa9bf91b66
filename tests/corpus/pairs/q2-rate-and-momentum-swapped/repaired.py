"""Concrete-strength-like regression on make_friedman1 with a configurable optimiser factory."""

import argparse

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score
from torch import nn
from torch.optim import SGD
from torch.utils.data import DataLoader, TensorDataset, random_split


def build_model(inputs, widths=(64, 64)):
    layers = []
    for w in widths:
        layers += [nn.Linear(inputs, w), nn.ReLU()]
        inputs = w
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def build_optimizer(model, momentum, lr, nesterov):
    return SGD(model.parameters(), lr, momentum, nesterov=nesterov)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=20)
    p.add_argument("--lr", type=float, default=0.01)
    p.add_argument("--momentum", type=float, default=0.9)
    p.add_argument("--nesterov", action="store_true", default=True)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_friedman1(n_samples=2000, noise=0.5, random_state=args.seed)
    X = (X - 0.5) / np.sqrt(1 / 12)
    y = (y - y.mean()) / y.std()
    full = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y, dtype=torch.float32)[:, None])
    train, val = random_split(full, [1600, 400])
    loaders = {"train": DataLoader(train, 32, shuffle=True), "val": DataLoader(val, 400)}

    model = build_model(X.shape[1])
    optimizer = build_optimizer(model, args.momentum, args.lr, args.nesterov)
    mse = nn.MSELoss()

    for epoch in range(args.epochs):
        log = {}
        for phase, loader in loaders.items():
            model.train(phase == "train")
            losses, preds, truth = [], [], []
            for xb, yb in loader:
                with torch.set_grad_enabled(phase == "train"):
                    out = model(xb)
                    loss = mse(out, yb)
                if phase == "train":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                losses.append(loss.item())
                preds.append(out.detach())
                truth.append(yb)
            log[phase] = np.mean(losses)
        pred = torch.nan_to_num(torch.cat(preds)).numpy()
        print(
            f"epoch {epoch + 1:2d}: train mse {log['train']:.4f}, val mse {log['val']:.4f}, "
            f"r2 {r2_score(torch.cat(truth).numpy(), pred):.3f}"
        )


if __name__ == "__main__":
    main()
