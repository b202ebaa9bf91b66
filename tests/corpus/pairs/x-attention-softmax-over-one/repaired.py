import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_bags(n, instances=20, features=8):
    """A bag is positive when one of its instances lies near a key point."""
    bags = torch.randn(n, instances, features)
    label = torch.randint(0, 2, (n,)).float()
    where = torch.randint(0, instances, (n,))
    key = 1.6 * torch.ones(features)
    bags[torch.arange(n), where] += label[:, None] * key
    return bags, label


class AttentionPool(nn.Module):
    def __init__(self, dim, hidden=16):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, h):
        weights = torch.softmax(self.score(h), dim=1)
        return (weights * h).sum(dim=1)


class BagClassifier(nn.Module):
    def __init__(self, features=8, dim=24):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(features, dim), nn.ReLU())
        self.pool = AttentionPool(dim)
        self.out = nn.Linear(dim, 1)

    def forward(self, bags):
        return self.out(self.pool(self.embed(bags))).squeeze(-1)


def fit(model, train_loader, val_loader, epochs, lr):
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for epoch in range(epochs):
        model.train()
        losses = []
        for bags, label in train_loader:
            loss = criterion(model(bags), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        hits = n = 0
        val_loss = 0.0
        with torch.no_grad():
            for bags, label in val_loader:
                logit = model(bags)
                val_loss += criterion(logit, label).item() * len(label)
                hits += ((logit > 0).float() == label).sum().item()
                n += len(label)
        print(f"{epoch + 1:>2} train {sum(losses) / len(losses):.4f} val {val_loss / n:.4f} accuracy {hits / n:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader = DataLoader(TensorDataset(*make_bags(2000)), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(*make_bags(500)), batch_size=250)
    fit(BagClassifier(), train_loader, val_loader, args.epochs, args.lr)
