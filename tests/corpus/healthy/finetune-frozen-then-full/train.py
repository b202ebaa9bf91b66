"""Pretrains a small CNN on digits 0-4, then transfers it to 5-9: head alone first, then everything at a tiny rate."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class SmallCNN(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
        )
        self.fc = nn.Linear(64, n_classes)

    def forward(self, x):
        return self.fc(self.features(x))


def fit(model, train, val, optimizer, epochs, name):
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for x, y in train:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        correct = n = 0
        with torch.no_grad():
            for x, y in val:
                correct += (model(x).argmax(1) == y).sum().item()
                n += len(y)
        print(f"[{name}] epoch {epoch + 1}: loss {total / len(train):.4f}  val acc {correct / n:.4f}")


def loaders(x, y):
    split = int(0.8 * len(x))
    train = DataLoader(TensorDataset(x[:split], y[:split]), batch_size=32, shuffle=True)
    return train, DataLoader(TensorDataset(x[split:], y[split:]), batch_size=128)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    low, high = y < 5, y >= 5

    source = SmallCNN(5)
    fit(source, *loaders(x[low], y[low]), torch.optim.Adam(source.parameters(), lr=1e-3), 8, "pretrain")

    model = SmallCNN(5)
    model.load_state_dict(source.state_dict())
    model.fc = nn.Linear(64, 5)
    for p in model.features.parameters():
        p.requires_grad = False
    train, val = loaders(x[high], y[high] - 5)
    fit(model, train, val, torch.optim.Adam(model.fc.parameters(), lr=1e-2), 8, "head")

    for p in model.parameters():
        p.requires_grad = True
    fit(model, train, val, torch.optim.Adam(model.parameters(), lr=1e-4), 6, "full")


main()
