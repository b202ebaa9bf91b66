import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class SAM:
    """Foret et al. 2021, wrapped around any optimizer."""

    def __init__(self, params, base, rho=0.05):
        self.params = [p for p in params]
        self.base = base
        self.rho = rho
        self.saved = []

    @torch.no_grad()
    def ascend(self):
        norm = torch.norm(torch.stack([p.grad.norm() for p in self.params]))
        self.saved = []
        for p in self.params:
            e = p.grad * (self.rho / (norm + 1e-12))
            p.add_(e)
            self.saved.append(e)
        self.base.zero_grad()

    @torch.no_grad()
    def descend(self):
        for p, e in zip(self.params, self.saved):
            p.sub_(e)
        self.base.step()
        self.base.zero_grad()


def minibatches(x, y, size):
    for idx in torch.randperm(len(x)).split(size):
        yield x[idx], y[idx]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--rho", type=float, default=0.05)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    X = ((digits.data - 4.88) / 6.02).astype("float32")
    a, b, ya, yb = train_test_split(X, digits.target, test_size=0.2, random_state=args.seed)
    xt, yt, xv, yv = map(torch.from_numpy, (a, ya, b, yb))

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    base = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    sched = torch.optim.lr_scheduler.PolynomialLR(base, total_iters=args.epochs, power=1.0)
    sam = SAM(model.parameters(), base, args.rho)

    for epoch in range(args.epochs):
        model.train()
        losses = []
        for xb, yb_ in minibatches(xt, yt, 64):
            loss = loss_fn(model(xb), yb_)
            loss.backward()
            sam.ascend()
            loss_fn(model(xb), yb_).backward()
            sam.descend()
            losses.append(loss.item())
        sched.step()
        model.eval()
        with torch.no_grad():
            out = model(xv)
            acc = (out.argmax(1) == yv).float().mean().item()
            vloss = loss_fn(out, yv).item()
        print(f"epoch {epoch + 1:2d} loss {sum(losses) / len(losses):.4f} val {vloss:.4f} acc {acc:.4f}")


if __name__ == "__main__":
    main()
