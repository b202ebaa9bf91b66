"""Siamese network: do two noisy signals have the same shape?"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class SignalPairs(Dataset):
    def __init__(self, n, prototypes):
        kinds, length = prototypes.shape
        first = torch.randint(0, kinds, (n,))
        same = torch.rand(n) < 0.5
        other = (first + torch.randint(1, kinds, (n,))) % kinds
        second = torch.where(same, first, other)
        self.a = prototypes[first] + 0.5 * torch.randn(n, length)
        self.b = prototypes[second] + 0.5 * torch.randn(n, length)
        self.same = same.float()

    def __len__(self):
        return len(self.same)

    def __getitem__(self, i):
        return (self.a[i], self.b[i]), self.same[i]


class Siamese(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.tower = nn.Sequential(
            nn.Linear(length, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 32),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(32, 1))

    def forward(self, a, b):
        return self.head((self.tower(a) - self.tower(b)).abs()).squeeze(-1)


@torch.no_grad()
def evaluate(model, loader, loss_fn):
    total, right, n = 0.0, 0, 0
    for (a, b), same in loader:
        logit = model(a, b)
        total += loss_fn(logit, same).item() * len(same)
        right += ((logit > 0) == (same > 0.5)).sum().item()
        n += len(same)
    return total / n, right / n


def train(model, loader, loss_fn, optimizer):
    model.train()
    total, n = 0.0, 0
    for (a, b), same in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(a, b), same)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(same)
        n += len(same)
    return total / n


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    prototypes = torch.randn(8, 40)
    train_loader = DataLoader(SignalPairs(2400, prototypes), batch_size=32, shuffle=True)
    test_loader = DataLoader(SignalPairs(600, prototypes), batch_size=64)
    model = Siamese(40)
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        train_loss = train(model, train_loader, loss_fn, optimizer)
        test_loss, test_acc = evaluate(model, test_loader, loss_fn)
        print(f"{epoch}: train {train_loss:.4f} test {test_loss:.4f} accuracy {test_acc:.3f}")


if __name__ == "__main__":
    main()
