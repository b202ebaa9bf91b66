"""Robust digits classifier: every batch is half clean, half FGSM examples."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def build_model():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def fgsm(model, x, y, eps):
    x_adv = x.clone().detach().requires_grad_(True)
    loss = F.cross_entropy(model(x_adv), y)
    grad = torch.autograd.grad(loss, x_adv)[0]
    return (x_adv + eps * grad.sign()).clamp(-0.5, 0.5).detach()


def evaluate(model, loader, eps):
    model.eval()
    clean = robust = n = 0
    for x, y in loader:
        x_adv = fgsm(model, x, y, eps)
        with torch.no_grad():
            clean += (model(x).argmax(1) == y).sum().item()
            robust += (model(x_adv).argmax(1) == y).sum().item()
        n += len(y)
    return clean / n, robust / n


def main(args):
    torch.manual_seed(args.seed)
    d = load_digits()
    X = torch.tensor(d.images / 16.0 - 0.5, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(d.target)
    tr, va = train_test_split(range(len(y)), test_size=0.2, random_state=args.seed, stratify=d.target)
    train_loader = DataLoader(TensorDataset(X[tr], y[tr]), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[va], y[va]), batch_size=150)

    model = build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        sum_clean = sum_adv = 0.0
        for xb, yb in train_loader:
            xa = fgsm(model, xb, yb, args.eps)
            optimizer.zero_grad()
            l_clean = F.cross_entropy(model(xb), yb)
            l_adv = F.cross_entropy(model(xa), yb)
            (0.5 * l_clean + 0.5 * l_adv).backward()
            optimizer.step()
            sum_clean += l_clean.item()
            sum_adv += l_adv.item()
        clean, robust = evaluate(model, val_loader, args.eps)
        k = len(train_loader)
        print(
            f"epoch {epoch + 1} loss clean {sum_clean / k:.3f} adv {sum_adv / k:.3f} | "
            f"val acc clean {clean:.3f} fgsm {robust:.3f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--eps", type=float, default=0.08)
    main(parser.parse_args())
