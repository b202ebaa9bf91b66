"""Digits with ink (source) and digits with an added diagonal background (target), DANN."""

import argparse
import itertools
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.lam = lam
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -ctx.lam * g, None


class DANN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU())
        self.labels = nn.Linear(48, 10)
        self.domain = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x, lam=0.0):
        h = self.features(x)
        return self.labels(h), self.domain(Reverse.apply(h, lam)).squeeze(1)


def shift_domain(x):
    strength = 0.2 + 0.2 * torch.rand(len(x), 1)
    ramp = torch.linspace(0, 1, 8)
    background = ((ramp[:, None] + ramp[None, :]) / 2).flatten()
    return x * 0.8 + strength * background


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x)[0].argmax(1) == y).float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=25)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--max-lambda", type=float, default=0.1)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    d = load_digits()
    x, y = torch.tensor(d.data / 16.0, dtype=torch.float32), torch.tensor(d.target)
    perm = torch.randperm(len(x))
    src, tgt, test = perm[:700], perm[700:1400], perm[1400:]
    xs, xt, xtest = x[src], shift_domain(x[tgt]), shift_domain(x[test])
    mean, std = xs.mean(), xs.std()
    xs, xt, xtest = [(a - mean) / std for a in (xs, xt, xtest)]
    xsrc_test = (x[test] - mean) / std

    src_dl = DataLoader(TensorDataset(xs, y[src]), batch_size=32, shuffle=True, drop_last=True)
    tgt_dl = DataLoader(TensorDataset(xt), batch_size=32, shuffle=True, drop_last=True)
    model = DANN()
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs)
    steps = args.epochs * len(src_dl)
    counter = itertools.count()
    for epoch in range(args.epochs):
        model.train()
        cls_sum = dom_sum = 0.0
        for (a, ya), (b,) in zip(src_dl, tgt_dl):
            progress = next(counter) / steps
            lam = args.max_lambda * (2 / (1 + math.exp(-10 * progress)) - 1)
            logits, dom = model(torch.cat([a, b]), lam)
            cls_loss = F.cross_entropy(logits[: len(a)], ya)
            is_src = torch.cat([torch.ones(len(a)), torch.zeros(len(b))])
            dom_loss = F.binary_cross_entropy_with_logits(dom, is_src)
            opt.zero_grad()
            (cls_loss + dom_loss).backward()
            opt.step()
            cls_sum += cls_loss.item()
            dom_sum += dom_loss.item()
        sched.step()
        print(
            f"epoch {epoch + 1:2d} class {cls_sum / len(src_dl):.4f} domain {dom_sum / len(src_dl):.4f} "
            f"source acc {accuracy(model, xsrc_test, y[test]):.3f} "
            f"target acc {accuracy(model, xtest, y[test]):.3f}"
        )


if __name__ == "__main__":
    main()
