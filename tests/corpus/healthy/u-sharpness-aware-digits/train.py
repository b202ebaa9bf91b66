import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class SAM:
    def __init__(self, params, base, rho=0.05):
        self.params, self.base, self.rho = list(params), base, rho

    @torch.no_grad()
    def climb(self):
        norm = torch.norm(torch.stack([p.grad.norm() for p in self.params]))
        self.moves = [self.rho * p.grad / (norm + 1e-12) for p in self.params]
        for p, m in zip(self.params, self.moves):
            p.add_(m)
        self.base.zero_grad()

    @torch.no_grad()
    def descend(self):
        for p, m in zip(self.params, self.moves):
            p.sub_(m)
        self.base.step()
        self.base.zero_grad()


def evaluate(model, loader, loss_fn):
    model.eval()
    loss = hits = n = 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            loss += loss_fn(out, y).item() * len(y)
            hits += (out.argmax(1) == y).sum().item()
            n += len(y)
    return loss / n, hits / n


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--rho", type=float, default=0.05)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    x = torch.tensor(d.data / 8.0 - 1.0, dtype=torch.float32)
    train, val = random_split(TensorDataset(x, torch.tensor(d.target)), [1400, 397])
    train = DataLoader(train, batch_size=50, shuffle=True)
    val = DataLoader(val, batch_size=397)
    model = nn.Sequential(nn.Linear(64, 80), nn.GELU(), nn.Linear(80, 40), nn.GELU(), nn.Linear(40, 10))
    base = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(base, args.epochs)
    sam = SAM(model.parameters(), base, args.rho)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for xb, yb in train:
            first = loss_fn(model(xb), yb)
            first.backward()
            sam.climb()
            loss_fn(model(xb), yb).backward()
            sam.descend()
            total += first.item()
        sched.step()
        vl, va = evaluate(model, val, loss_fn)
        print(f"epoch {epoch + 1:2d} train {total / len(train):.4f} val {vl:.4f} acc {va:.4f}")


if __name__ == "__main__":
    main()
