"""Siamese embedding of digits; a pair is the same digit or not. Judged by one nearest neighbour."""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    def __init__(self, images, labels, n_pairs):
        self.images, self.labels = images, labels
        by_class = [torch.nonzero(labels == k).flatten() for k in range(10)]
        self.first = torch.randint(len(labels), (n_pairs,))
        self.second = torch.randint(len(labels), (n_pairs,))
        for i in range(0, n_pairs, 2):  # every other pair is of the same digit
            mates = by_class[labels[self.first[i]]]
            self.second[i] = mates[torch.randint(len(mates), ())]

    def __len__(self):
        return len(self.first)

    def __getitem__(self, i):
        a, b = self.first[i], self.second[i]
        return self.images[a], self.images[b], (self.labels[a] == self.labels[b]).float()


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, x):
        return self.net(x)


def contrastive_loss(a, b, same):
    d = torch.sqrt(((a - b) ** 2).sum(1) + 1e-8)
    pull = same * d**2
    return pull.mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor((X - X.mean()) / X.std(), dtype=torch.float32)
    y = torch.tensor(y)
    order = torch.randperm(len(X))
    X, y = X[order], y[order]
    loader = DataLoader(Pairs(X[:1300], y[:1300], 4000), batch_size=64, shuffle=True)
    tower = Tower()
    optimizer = torch.optim.Adam(tower.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        tower.train()
        total = 0.0
        for a, b, same in loader:
            loss = contrastive_loss(tower(a), tower(b), same)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        tower.eval()
        with torch.no_grad():
            codes = tower(X).numpy()
        knn = KNeighborsClassifier(1).fit(codes[:1300], y[:1300])
        print(f"epoch {epoch}: loss {total / len(loader):.5f}  1-nn accuracy {knn.score(codes[1300:], y[1300:]):.3f}")


if __name__ == "__main__":
    main()
