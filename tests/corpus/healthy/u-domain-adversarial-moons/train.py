import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import make_moons


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.strength * grad, None


class DANN(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 16), nn.ReLU())
        self.label = nn.Linear(16, 1)
        self.domain = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x, strength=0.0):
        f = self.features(x)
        return self.label(f).squeeze(1), self.domain(Reverse.apply(f, strength)).squeeze(1)


def rotated_moons(n, degrees, seed):
    x, y = make_moons(n, noise=0.08, random_state=seed)
    x = torch.tensor(x, dtype=torch.float32) - torch.tensor([0.5, 0.25])
    a = math.radians(degrees)
    r = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    return x @ r.T, torch.tensor(y, dtype=torch.float32)


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        out, _ = model(x)
    return ((out > 0).float() == y).float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=40)
    ap.add_argument("--strength", type=float, default=0.3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    xs, ys = rotated_moons(800, 0, args.seed)
    xt, _ = rotated_moons(800, 20, args.seed + 1)
    xv, yv = rotated_moons(300, 0, args.seed + 2)
    xtv, ytv = rotated_moons(300, 20, args.seed + 3)
    model = DANN()
    opt = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        model.train()
        strength = args.strength * (2 / (1 + math.exp(-5 * epoch / args.epochs)) - 1)
        sums = [0.0, 0.0]
        src, tgt = torch.randperm(len(xs)).split(50), torch.randperm(len(xt)).split(50)
        for i, j in zip(src, tgt):
            out, dom = model(torch.cat([xs[i], xt[j]]), strength)
            task = F.binary_cross_entropy_with_logits(out[: len(i)], ys[i])
            is_target = torch.cat([torch.zeros(len(i)), torch.ones(len(j))])
            domain = F.binary_cross_entropy_with_logits(dom, is_target)
            opt.zero_grad()
            (task + domain).backward()
            opt.step()
            sums[0] += task.item()
            sums[1] += domain.item()
        if (epoch + 1) % 4 == 0:
            print(
                f"epoch {epoch + 1:2d} task {sums[0] / len(src):.4f} domain {sums[1] / len(src):.4f} "
                f"source acc {accuracy(model, xv, yv):.3f} target acc {accuracy(model, xtv, ytv):.3f}"
            )


if __name__ == "__main__":
    main()
