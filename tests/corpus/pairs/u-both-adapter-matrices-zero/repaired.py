"""Pretrain on upright digits, adapt to digits turned by 90 degrees with low-rank adapters."""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, base, rank=8, alpha=16):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.down.T @ self.up.T)


def mlp():
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10))


def batches(x, y, size):
    order = torch.randperm(len(x))
    for i in range(0, len(x), size):
        j = order[i : i + size]
        yield x[j], y[j]


def fit(model, params, data, held_out, epochs, lr, tag):
    opt = torch.optim.Adam(params, lr=lr)
    ce = nn.CrossEntropyLoss()
    for e in range(epochs):
        model.train()
        tot = n = 0
        for xb, yb in batches(*data, 64):
            loss = ce(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            tot, n = tot + loss.item() * len(xb), n + len(xb)
        model.eval()
        with torch.no_grad():
            out = model(held_out[0])
            acc = (out.argmax(1) == held_out[1]).float().mean()
            vl = ce(out, held_out[1])
        print(f"{tag} {e + 1:2d}: train {tot / n:.4f} held-out {vl:.4f} acc {acc:.3f}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--pretrain-epochs", type=int, default=8)
    ap.add_argument("--adapt-epochs", type=int, default=12)
    ap.add_argument("--rank", type=int, default=8)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    imgs = (d.images.astype(np.float32) - 4.88) / 6.02
    perm = np.random.RandomState(args.seed).permutation(len(imgs))
    imgs, y = imgs[perm], torch.tensor(d.target[perm])
    up = torch.tensor(imgs.reshape(len(imgs), -1))
    turned = torch.tensor(np.rot90(imgs, axes=(1, 2)).copy().reshape(len(imgs), -1))
    net = mlp()
    fit(net, net.parameters(), (up[:900], y[:900]), (up[1400:], y[1400:]), args.pretrain_epochs, 2e-3, "base ")
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Linear):
            net[i] = LoRALinear(layer, args.rank)
    trainable = [p for p in net.parameters() if p.requires_grad]
    print("trainable:", sum(p.numel() for p in trainable))
    fit(net, trainable, (turned[500:1400], y[500:1400]), (turned[1400:], y[1400:]), args.adapt_epochs, 3e-3, "adapt")


if __name__ == "__main__":
    main()
