import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class SmallConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 16, 3, padding=1)
        self.c2 = nn.Conv2d(16, 24, 3, padding=1)
        self.fc = nn.Linear(24 * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = F.max_pool2d(F.relu(self.c2(x)), 2)
        return self.fc(x.flatten(1))


def attack(model, x, y, eps):
    x = x.clone().requires_grad_(True)
    loss = F.cross_entropy(model(x), y)
    (grad,) = torch.autograd.grad(loss, x)
    return (x + eps * grad.sign()).clamp(-1, 1).detach()


def test(model, loader, eps):
    model.eval()
    clean = robust = loss = n = 0
    for x, y in loader:
        x_adv = attack(model, x, y, eps)
        with torch.no_grad():
            out = model(x)
            loss += F.cross_entropy(out, y, reduction="sum").item()
            clean += (out.argmax(1) == y).sum().item()
            robust += (model(x_adv).argmax(1) == y).sum().item()
        n += len(y)
    return loss / n, clean / n, robust / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--eps", type=float, default=0.15)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    x = torch.tensor(d.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    y = torch.tensor(d.target)
    perm = torch.randperm(len(y))
    x, y = x[perm], y[perm]
    train = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1400:], y[1400:]), batch_size=200)
    model = SmallConv()
    opt = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, args.epochs + 1):
        eps = args.eps * min(1.0, epoch / 4)
        total = 0.0
        for xb, yb in train:
            model.train()
            x_adv = attack(model, xb, yb, eps)
            loss = 0.5 * F.cross_entropy(model(xb), yb) + 0.5 * F.cross_entropy(model(x_adv), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        vl, clean, robust = test(model, val, args.eps)
        print(
            f"epoch {epoch:2d}  train {total / len(train):.3f}  val {vl:.3f}  clean {clean:.3f}  attacked {robust:.3f}"
        )


if __name__ == "__main__":
    main()
