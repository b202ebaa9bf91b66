import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, Dataset


class TumourDataset(Dataset):
    def __init__(self, features, labels, mean, std):
        self.features = ((features - mean) / std).astype(np.float32)
        self.labels = labels.astype(np.float32)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        return self.features[idx], self.labels[idx]


class TumourNet(nn.Module):
    def __init__(self, in_features=30, hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.out(x).squeeze(1)


class Trainer:
    def __init__(self, model, train_loader, val_loader, lr):
        self.model = model
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.loss_fn = nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=1e-4)

    def train_epoch(self):
        self.model.train()
        total = 0.0
        for x, y in self.train_loader:
            loss = self.loss_fn(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.train_loader)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        losses, hits, seen = [], 0, 0
        for x, y in self.val_loader:
            out = self.model(x)
            losses.append(self.loss_fn(out, y).item())
            hits += ((out > 0.0) == (y > 0.5)).sum().item()
            seen += len(y)
        return sum(losses) / len(losses), hits / seen

    def fit(self, epochs):
        for epoch in range(epochs):
            train_loss = self.train_epoch()
            val_loss, val_acc = self.validate()
            print(f"[{epoch:02d}] train {train_loss:.4f} | val {val_loss:.4f} | acc {val_acc:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    X, y = load_breast_cancer(return_X_y=True)
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.25, stratify=y, random_state=args.seed)
    mean, std = X_tr.mean(axis=0), X_tr.std(axis=0)
    train_loader = DataLoader(TumourDataset(X_tr, y_tr, mean, std), batch_size=16, shuffle=True)
    val_loader = DataLoader(TumourDataset(X_va, y_va, mean, std), batch_size=64)
    Trainer(TumourNet(), train_loader, val_loader, args.lr).fit(args.epochs)
