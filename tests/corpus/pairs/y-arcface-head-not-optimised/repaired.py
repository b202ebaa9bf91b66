"""Embeddings of digits with an additive angular margin; judged by nearest class mean."""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class MarginHead(nn.Module):
    """Cosine softmax with a margin on the true class; owns one prototype for each class."""

    def __init__(self, dim, classes, scale=12.0, margin=0.1):
        super().__init__()
        self.prototypes = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_uniform_(self.prototypes)
        self.scale, self.margin = scale, margin

    def forward(self, emb, target):
        cosine = F.normalize(emb) @ F.normalize(self.prototypes).t()
        cosine = cosine - self.margin * F.one_hot(target, cosine.shape[1])
        return F.cross_entropy(self.scale * cosine, target)


class Embedder(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, dim))

    def forward(self, x):
        return self.features(x)


def nearest_mean_accuracy(model, train, test):
    model.eval()
    with torch.no_grad():
        a, b = F.normalize(model(train[0])), F.normalize(model(test[0]))
    means = F.normalize(torch.stack([a[train[1] == k].mean(0) for k in range(10)]))
    return (b @ means.t()).argmax(1).eq(test[1]).float().mean().item()


def main(args):
    torch.manual_seed(args.seed)
    X, y = load_digits(return_X_y=True)
    X = (X - X.mean()) / X.std()
    Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.3, random_state=args.seed, stratify=y)
    train = torch.tensor(Xa, dtype=torch.float32), torch.tensor(ya)
    test = torch.tensor(Xb, dtype=torch.float32), torch.tensor(yb)
    loader = DataLoader(TensorDataset(*train), batch_size=64, shuffle=True, drop_last=True)

    model = Embedder()
    head = MarginHead(16, 10)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for x, target in loader:
            loss = head(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch + 1} loss {mean:.3f} mean {nearest_mean_accuracy(model, train, test):.3f}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=12)
    cli.add_argument("--lr", type=float, default=2e-3)
    main(cli.parse_args())
