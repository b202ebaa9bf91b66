import argparse
import logging

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

logging.basicConfig(level=logging.INFO, format="%(message)s")
log = logging.getLogger("strength")


def mixtures(n, rng):
    cement, water, ash, age = (rng.uniform(a, b, n) for a, b in ((150, 500), (120, 240), (0, 200), (1, 120)))
    strength = 90 * (cement + 0.4 * ash) / (cement + 0.4 * ash + 3 * water) * np.log1p(age) / np.log(90)
    X = np.column_stack([cement, water, ash, age])
    return X, strength + rng.normal(0, 2, n)


class ConcreteData(Dataset):
    def __init__(self, X, y, stats):
        (xm, xs), (ym, ys) = stats
        self.X = ((X - xm) / xs).astype(np.float32)
        self.y = ((y - ym) / ys).astype(np.float32)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, idx):
        return self.X[idx], self.y[idx]


class Regressor(nn.Module):
    def __init__(self, n_in=4, hidden=(48, 24)):
        super().__init__()
        layers = []
        for h in hidden:
            layers += [nn.Linear(n_in, h), nn.SiLU()]
            n_in = h
        self.layers = nn.Sequential(*layers, nn.Linear(n_in, 1))

    def forward(self, x):
        return self.layers(x)


class Trainer:
    def __init__(self, model, lr=3e-3):
        self.model = model
        self.loss = nn.MSELoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def run_batch(self, batch, train):
        x, y = batch
        pred = self.model(x).squeeze(1)
        loss = self.loss(pred, y)
        if train:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item() * len(x), pred.detach().flatten(), y

    def fit(self, train_dl, val_dl, epochs):
        for epoch in range(1, epochs + 1):
            self.model.train()
            tr = sum(self.run_batch(b, True)[0] for b in train_dl) / len(train_dl.dataset)
            self.model.eval()
            with torch.no_grad():
                parts = [self.run_batch(b, False) for b in val_dl]
            va = sum(p[0] for p in parts) / len(val_dl.dataset)
            pred, y = torch.cat([p[1] for p in parts]), torch.cat([p[2] for p in parts])
            r2 = 1 - ((pred - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
            log.info("epoch %2d  train %.4f  val %.4f  r2 %.3f", epoch, tr, va, r2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    X, y = mixtures(2000, rng)
    stats = (X[:1600].mean(0), X[:1600].std(0)), (y[:1600].mean(), y[:1600].std())
    train_dl = DataLoader(ConcreteData(X[:1600], y[:1600], stats), batch_size=32, shuffle=True)
    val_dl = DataLoader(ConcreteData(X[1600:], y[1600:], stats), batch_size=100)
    Trainer(Regressor()).fit(train_dl, val_dl, args.epochs)
