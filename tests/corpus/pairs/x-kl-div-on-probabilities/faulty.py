import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def annotate(rng, features, votes=25):
    """Vote shares of a crowd of annotators over five categories."""
    taste = np.random.default_rng(7).normal(size=(features.shape[1], 5))
    logits = features @ taste / 2.0
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return np.stack([rng.multinomial(votes, c) for c in chances]) / votes


def divergence(net, x, shares):
    predicted = F.softmax(net(x), dim=1)
    return F.kl_div(predicted, shares, reduction="batchmean")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=50)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    features = rng.normal(size=(2000, 12))
    x = torch.tensor(features, dtype=torch.float32)
    y = torch.tensor(annotate(rng, features), dtype=torch.float32)
    x_train, x_test, y_train, y_test = x[:1600], x[1600:], y[:1600], y[1600:]

    net = nn.Sequential(nn.Linear(12, 48), nn.Tanh(), nn.Linear(48, 5))
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)

    for epoch in range(args.epochs):
        order = torch.randperm(len(x_train))
        total = 0.0
        for rows in order.split(args.batch_size):
            loss = divergence(net, x_train[rows], y_train[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(rows)
        with torch.no_grad():
            test = divergence(net, x_test, y_test).item()
            gap = (net(x_test).softmax(dim=1) - y_test).abs().mean().item()
        print(
            f"[{epoch + 1}/{args.epochs}] kl {total / len(x_train):.4f} test kl {test:.4f} mean share error {gap:.4f}"
        )


if __name__ == "__main__":
    main()
