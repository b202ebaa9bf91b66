import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, Dataset


class TableDataset(Dataset):
    def __init__(self, x, y):
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.y = torch.as_tensor(y, dtype=torch.float32)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, idx):
        return {"features": self.x[idx], "target": self.y[idx]}


class Regressor(nn.Module):
    def __init__(self, n_in, width=64, p=0.4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_in, width), nn.BatchNorm1d(width), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(p), nn.Linear(width, 1))

    def forward(self, x):
        return self.head(self.encoder(x)).squeeze(-1)


class Trainer:
    def __init__(self, model, train_loader, val_loader, lr):
        self.model = model
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.criterion = nn.MSELoss()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-3)
        self.best = float("inf")

    def train_epoch(self):
        self.model.train()
        running = []
        for batch in self.train_loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(batch["features"]), batch["target"])
            loss.backward()
            self.optimizer.step()
            running.append(loss.item())
        return float(np.mean(running))

    def evaluate(self):
        self.model.eval()
        preds, targets = [], []
        with torch.no_grad():
            for batch in self.val_loader:
                preds.append(self.model(batch["features"]))
                targets.append(batch["target"])
        return self.criterion(torch.cat(preds), torch.cat(targets)).item()

    def fit(self, epochs):
        for epoch in range(epochs):
            tr = self.train_epoch()
            va = self.evaluate()
            self.best = min(self.best, va)
            print(f"Epoch {epoch + 1}/{epochs} - loss: {tr:.4f} - val_loss: {va:.4f} - val_r2: {1 - va:.3f}")
        print("best val_loss", round(self.best, 4))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = make_friedman1(2400, n_features=8, noise=0.6, random_state=args.seed)
    x_tr, x_va, y_tr, y_va = train_test_split(x, y, test_size=0.25, random_state=args.seed)
    m, s = x_tr.mean(0), x_tr.std(0)
    ym, ys = y_tr.mean(), y_tr.std()
    train_loader = DataLoader(
        TableDataset((x_tr - m) / s, (y_tr - ym) / ys), batch_size=48, shuffle=True, drop_last=True
    )
    val_loader = DataLoader(TableDataset((x_va - m) / s, (y_va - ym) / ys), batch_size=200)
    Trainer(Regressor(x.shape[1]), train_loader, val_loader, args.lr).fit(args.epochs)


if __name__ == "__main__":
    main()
