"""Semi-supervised digits: few labels, and confident guesses of the network as further labels."""

import argparse
from itertools import cycle

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def weak(x):
    return x + 0.1 * torch.randn_like(x)


def strong(x):
    keep = (torch.rand_like(x) > 0.2).float()
    return x * keep + 0.2 * torch.randn_like(x)


def main(args):
    torch.manual_seed(args.seed)
    digits = load_digits()
    X = torch.tensor(digits.data, dtype=torch.float32)
    X = (X - X.mean()) / X.std()
    y = torch.tensor(digits.target)
    order = torch.randperm(len(X))
    few, many, test = order[:250], order[250:1400], order[1400:]
    labelled = DataLoader(TensorDataset(X[few], y[few]), batch_size=25, shuffle=True)
    unlabelled = DataLoader(TensorDataset(X[many]), batch_size=50, shuffle=True)

    net = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Dropout(0.2), nn.Linear(100, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=1e-3)
    for epoch in range(args.epochs):
        net.train()
        sup_sum = unsup_sum = used = 0.0
        for (x, target), (u,) in zip(cycle(labelled), unlabelled):
            with torch.no_grad():
                confidence, guess = net(weak(u)).softmax(1).max(1)
                mask = (confidence > args.threshold).float()
            sup = F.cross_entropy(net(weak(x)), target)
            unsup = (F.cross_entropy(net(strong(u)), guess, reduction="none") * mask).mean()
            loss = sup + args.weight * unsup
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sup_sum, unsup_sum, used = sup_sum + sup.item(), unsup_sum + unsup.item(), used + mask.mean().item()
        net.eval()
        with torch.no_grad():
            acc = (net(X[test]).argmax(1) == y[test]).float().mean().item()
        n = len(unlabelled)
        print(
            f"{epoch:2d}  labelled {sup_sum / n:.3f}  guessed {unsup_sum / n:.3f}  used {used / n:.2f}  acc {acc:.3f}"
        )


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=10)
    cli.add_argument("--threshold", type=float, default=0.9)
    cli.add_argument("--weight", type=float, default=0.5)
    main(cli.parse_args())
