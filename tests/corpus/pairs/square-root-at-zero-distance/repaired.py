import argparse
import random

import torch
from sklearn.datasets import load_digits
from torch import nn


class Encoder(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, a, b):
        return self.net(a), self.net(b)


def contrastive_loss(za, zb, same, margin=1.0):
    distance = (((za - zb) ** 2).sum(dim=1) + 1e-8).sqrt()
    return (same * distance**2 + (1 - same) * (margin - distance).clamp(min=0) ** 2).mean()


class PairSampler:
    """Draws pairs of digits, half of them of the same class (now and then a digit with itself)."""

    def __init__(self, x, y, rng):
        self.x, self.y, self.rng = x, y, rng
        self.by_class = [[i for i, label in enumerate(y.tolist()) if label == k] for k in range(10)]

    def draw(self, n):
        left, right, same = [], [], []
        for i in range(n):
            a = self.rng.randrange(len(self.x))
            label = int(self.y[a])
            if i % 2:
                b = self.rng.choice(self.by_class[label])
            else:
                b = self.rng.choice(self.by_class[(label + self.rng.randrange(1, 10)) % 10])
            left.append(a)
            right.append(b)
            same.append(float(i % 2))
        return self.x[left], self.x[right], torch.tensor(same)


def nearest_neighbour_accuracy(model, x_train, y_train, x_test, y_test):
    model.eval()
    with torch.no_grad():
        z_train, z_test = model(x_train, x_test)
    nearest = torch.cdist(z_test, z_train).argmin(dim=1)
    model.train()
    return (y_train[nearest] == y_test).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data, target = load_digits(return_X_y=True)
    order = torch.randperm(len(data))
    x, y = torch.tensor(data, dtype=torch.float32)[order] / 8 - 0.6, torch.tensor(target)[order]
    sampler = PairSampler(x[:1400], y[:1400], random.Random(args.seed))
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    average = 0.0
    for step in range(1, args.steps + 1):
        a, b, same = sampler.draw(64)
        loss = contrastive_loss(*model(a, b), same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average = loss.item() if step == 1 else 0.98 * average + 0.02 * loss.item()
        if step % 150 == 0:
            accuracy = nearest_neighbour_accuracy(model, x[:1400], y[:1400], x[1400:], y[1400:])
            print(f"step {step}: loss {average:.4f}, 1-nn accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
