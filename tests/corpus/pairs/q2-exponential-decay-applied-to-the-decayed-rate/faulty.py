import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser(description="two interleaved spirals")
parser.add_argument("--seed", default=0, type=int)
parser.add_argument("--epochs", default=30, type=int)
parser.add_argument("-b", "--batch-size", default=25, type=int)
parser.add_argument("--lr", default=0.03, type=float)
parser.add_argument("--decay", default=0.92, type=float)


def spirals(n, g):
    t = torch.rand(n, generator=g).sqrt() * 2.6 * math.pi + 0.4
    label = torch.randint(0, 2, (n,), generator=g)
    angle = t + math.pi * label
    pts = torch.stack([t * angle.cos(), t * angle.sin()], 1) + 0.12 * torch.randn(n, 2, generator=g)
    return pts / 4.0, label


def adjust_learning_rate(optimizer, epoch, args):
    """Sets the learning rate to the initial LR decayed exponentially with the epoch"""
    factor = args.decay**epoch
    for param_group in optimizer.param_groups:
        param_group["lr"] = param_group["lr"] * factor


def train(xs, ys, model, criterion, optimizer, batch_size):
    model.train()
    total, correct = 0.0, 0
    for idx in torch.randperm(len(xs)).split(batch_size):
        out = model(xs[idx])
        loss = criterion(out, ys[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
        correct += (out.argmax(1) == ys[idx]).sum().item()
    return total / len(xs), correct / len(xs)


def validate(xs, ys, model, criterion):
    model.eval()
    with torch.no_grad():
        out = model(xs)
        return criterion(out, ys).item(), (out.argmax(1) == ys).float().mean().item()


def main():
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    xs, ys = spirals(2000, g)
    xv, yv = spirals(500, g)
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9)
    for epoch in range(args.epochs):
        adjust_learning_rate(optimizer, epoch, args)
        tl, ta = train(xs, ys, model, criterion, optimizer, args.batch_size)
        vl, va = validate(xv, yv, model, criterion)
        print(
            f"Epoch [{epoch}] lr {optimizer.param_groups[0]['lr']:.1e}  Loss {tl:.4f} Acc {100 * ta:.1f}  "
            f"Val {vl:.4f} Acc {100 * va:.1f}"
        )


if __name__ == "__main__":
    main()
