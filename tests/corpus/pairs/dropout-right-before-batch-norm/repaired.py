import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def block(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU())


class DigitMLP(nn.Module):
    def __init__(self, width=64, p=0.5):
        super().__init__()
        self.blocks = nn.Sequential(block(64, width), block(width, width), block(width, width))
        self.out = nn.Sequential(nn.Dropout(p), nn.Linear(width, 10))

    def forward(self, x):
        return self.out(self.blocks(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    features, labels = load_digits(return_X_y=True)
    dataset = TensorDataset(torch.tensor(features, dtype=torch.float32) / 8 - 0.6, torch.tensor(labels))
    train_set, val_set = random_split(dataset, [0.8, 0.2])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True, drop_last=True)
    val_loader = DataLoader(val_set, batch_size=120)
    model = DigitMLP()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        scheduler.step()
        model.eval()
        val_loss, hits = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                out = model(x)
                val_loss += criterion(out, y).item() * len(y) / len(val_set)
                hits += (out.argmax(1) == y).sum().item()
        print(f"epoch {epoch}: train {train_loss:.4f}, val {val_loss:.4f}, accuracy {hits / len(val_set):.3f}")


if __name__ == "__main__":
    main()
