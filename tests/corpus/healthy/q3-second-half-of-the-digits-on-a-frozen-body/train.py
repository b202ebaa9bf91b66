import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def make_loaders(keep, offset, seed, train_size=None):
    digits = load_digits()
    mask = (digits.target >= keep[0]) & (digits.target <= keep[1])
    x = torch.tensor(digits.images[mask], dtype=torch.float32).unsqueeze(1) / 8 - 1
    y = torch.tensor(digits.target[mask]) - offset
    tr, va = train_test_split(torch.arange(len(y)).numpy(), test_size=0.25, random_state=seed, stratify=y.numpy())
    tr = tr[:train_size]
    return (
        DataLoader(TensorDataset(x[tr], y[tr]), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(x[va], y[va]), batch_size=128),
    )


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.out_features = 32 * 16

    def forward(self, x):
        return self.layers(x)


def fit(model, loaders, optimizer, epochs, label, body_frozen=False):
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        if body_frozen:
            model[0].eval()
        total = 0.0
        for x, y in loaders[0]:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        model.eval()
        with torch.no_grad():
            hits = sum((model(x).argmax(1) == y).sum().item() for x, y in loaders[1])
        print(
            f"{label} epoch {epoch + 1}: loss {total / len(loaders[0].dataset):.4f} "
            f"val acc {hits / len(loaders[1].dataset):.3f}"
        )


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--pretrain-epochs", type=int, default=6)
    ap.add_argument("--epochs", type=int, default=15)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    body = Body()
    first = nn.Sequential(body, nn.Linear(body.out_features, 5))
    fit(
        first,
        make_loaders((0, 4), 0, args.seed),
        torch.optim.Adam(first.parameters(), lr=1e-3),
        args.pretrain_epochs,
        "digits 0-4",
    )

    for p in body.parameters():
        p.requires_grad_(False)
    second = nn.Sequential(body, nn.Linear(body.out_features, 5))
    trainable = [p for p in second.parameters() if p.requires_grad]
    fit(
        second,
        make_loaders((5, 9), 5, args.seed, train_size=300),
        torch.optim.Adam(trainable, lr=2e-3),
        args.epochs,
        "digits 5-9",
        body_frozen=True,
    )


if __name__ == "__main__":
    main()
