"""Predict the energy use of a building from sensor readings."""

import argparse

import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset


class EnergyDataset(Dataset):
    def __init__(self, n, seed):
        features, target = make_friedman1(n_samples=n, n_features=8, noise=0.5, random_state=seed)
        self.features = torch.tensor(features * 2 - 1, dtype=torch.float32)
        target = torch.tensor(target, dtype=torch.float32)
        self.target = (target - target.mean()) / target.std()

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        return self.features[index], self.target[index]


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.net(x)


def train_one_epoch(model, loader, criterion, optimizer):
    model.train()
    total = 0.0
    for features, target in loader:
        prediction = model(features)
        loss = criterion(prediction.squeeze(1), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(target)
    return total / len(loader.dataset)


def evaluate(model, loader):
    model.eval()
    predictions, targets = [], []
    with torch.no_grad():
        for features, target in loader:
            predictions.append(model(features).squeeze(1))
            targets.append(target)
    predictions, targets = torch.cat(predictions), torch.cat(targets)
    r2 = 1 - ((predictions - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()
    return r2.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    dataset = EnergyDataset(2000, args.seed)
    train_loader = DataLoader(Subset(dataset, range(1600)), batch_size=32, shuffle=True)
    test_loader = DataLoader(Subset(dataset, range(1600, 2000)), batch_size=100)
    model = Regressor()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.MSELoss()
    for epoch in range(1, args.epochs + 1):
        loss = train_one_epoch(model, train_loader, criterion, optimizer)
        print(f"epoch {epoch}: mse {loss:.4f}, test R2 {evaluate(model, test_loader):.3f}")


if __name__ == "__main__":
    main()
