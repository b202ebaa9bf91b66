import argparse
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    seed: int = 0
    n_samples: int = 2400
    noise: float = 0.5
    hidden: int = 64
    batch_size: int = 64
    lr: float = 3e-3
    epochs: int = 25


class Regressor(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Linear(10, cfg.hidden),
                nn.Linear(cfg.hidden, cfg.hidden),
            ]
        )
        self.out = nn.Linear(cfg.hidden, 1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.nn.functional.silu(layer(x))
        return self.out(x)


class Trainer:
    def __init__(self, cfg, model, train_loader, val_loader):
        self.cfg = cfg
        self.model = model
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.criterion = nn.MSELoss()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=1e-3)
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=2)
        self.history = []

    def fit(self):
        for epoch in range(self.cfg.epochs):
            train_loss = self._train_epoch()
            val_loss, r2 = self._validate()
            self.scheduler.step(val_loss)
            lr = self.optimizer.param_groups[0]["lr"]
            self.history.append((train_loss, val_loss))
            print(f"epoch {epoch:02d} train={train_loss:.4f} val={val_loss:.4f} r2={r2:.3f} lr={lr:.1e}")

    def _train_epoch(self):
        self.model.train()
        total, count = 0.0, 0
        for x, y in self.train_loader:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total += loss.item() * x.size(0)
            count += x.size(0)
        return total / count

    @torch.no_grad()
    def _validate(self):
        self.model.eval()
        preds = torch.cat([self.model(x) for x, _ in self.val_loader])
        target = torch.cat([y for _, y in self.val_loader])
        mse = self.criterion(preds, target).item()
        return mse, 1 - mse / target.var(unbiased=False).item()


def build_loaders(cfg):
    X, y = make_friedman1(cfg.n_samples, noise=cfg.noise, random_state=cfg.seed)
    split = int(0.8 * len(X))
    X = (X - X[:split].mean(0)) / X[:split].std(0)
    y = (y - y[:split].mean()) / y[:split].std()
    X, y = X.astype(np.float32), y.astype(np.float32)[:, None]
    train = TensorDataset(torch.from_numpy(X[:split]), torch.from_numpy(y[:split]))
    val = TensorDataset(torch.from_numpy(X[split:]), torch.from_numpy(y[split:]))
    return (DataLoader(train, batch_size=cfg.batch_size, shuffle=True), DataLoader(val, batch_size=256))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=Config.seed)
    parser.add_argument("--epochs", type=int, default=Config.epochs)
    args = parser.parse_args()
    cfg = Config(seed=args.seed, epochs=args.epochs)
    torch.manual_seed(args.seed)
    train_loader, val_loader = build_loaders(cfg)
    Trainer(cfg, Regressor(cfg), train_loader, val_loader).fit()


if __name__ == "__main__":
    main()
