import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


def load(seed):
    x, y = make_classification(
        n_samples=3600,
        n_features=14,
        n_informative=9,
        n_redundant=0,
        n_classes=4,
        n_clusters_per_class=1,
        weights=[0.6, 0.25, 0.1, 0.05],
        class_sep=1.4,
        random_state=seed + 20,
    )
    return train_test_split(x, y, test_size=0.25, stratify=y, random_state=seed)


class Classifier:
    """A small scikit-learn-like wrapper around the network."""

    def __init__(self, epochs, lr, batch_size=40):
        self.epochs, self.lr, self.batch_size = epochs, lr, batch_size
        self.scaler = StandardScaler()
        self.net = nn.Sequential(nn.Linear(14, 32), nn.LeakyReLU(), nn.Linear(32, 16), nn.LeakyReLU(), nn.Linear(16, 4))

    def fit(self, x, y, x_val, y_val):
        x = torch.as_tensor(self.scaler.fit_transform(x), dtype=torch.float32)
        y = torch.as_tensor(y)
        counts = torch.bincount(y).float()
        weight = counts.sum() / (counts * len(counts))
        loss_fn = nn.CrossEntropyLoss(weight=weight)
        optimizer = torch.optim.RMSprop(self.net.parameters(), lr=self.lr)
        for epoch in range(self.epochs):
            self.net.train()
            order = torch.randperm(len(x)).split(self.batch_size)
            mean = 0.0
            for rows in order:
                optimizer.zero_grad()
                loss = loss_fn(self.net(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                mean += loss.item() / len(order)
            accuracy, recalls = self.score(x_val, y_val)
            print(f"epoch {epoch} loss {mean:.3f} accuracy {accuracy:.3f} recalls {[round(r, 2) for r in recalls]}")
        return self

    @torch.no_grad()
    def score(self, x, y):
        self.net.eval()
        guess = self.net(torch.as_tensor(self.scaler.transform(x), dtype=torch.float32)).argmax(1)
        y = torch.as_tensor(y)
        return (guess == y).float().mean().item(), [(guess[y == k] == k).float().mean().item() for k in range(4)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x_train, x_val, y_train, y_val = load(args.seed)
    Classifier(args.epochs, args.lr).fit(x_train, y_train, x_val, y_val)
