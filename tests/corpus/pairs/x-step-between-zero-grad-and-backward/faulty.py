import argparse
from dataclasses import dataclass

import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler


@dataclass
class Config:
    seed: int = 0
    epochs: int = 20
    batch_size: int = 40
    hidden: int = 64
    lr: float = 5e-3


class Regressor(nn.Module):
    def __init__(self, n_in, hidden):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.body(x)).squeeze(-1)


def get_data(cfg):
    X, y = make_friedman1(n_samples=1500, noise=0.5, random_state=cfg.seed)
    X_train, X_test = X[:1200], X[1200:]
    scaler = StandardScaler().fit(X_train)
    y = (y - y[:1200].mean()) / y[:1200].std()
    to = lambda a: torch.tensor(a, dtype=torch.float32)  # noqa: E731
    return to(scaler.transform(X_train)), to(y[:1200]), to(scaler.transform(X_test)), to(y[1200:])


def train_step(model, optimizer, criterion, xb, yb):
    prediction = model(xb)
    loss = criterion(prediction, yb)
    optimizer.zero_grad()
    optimizer.step()
    loss.backward()
    return loss.item()


def main(cfg):
    torch.manual_seed(cfg.seed)
    x_train, y_train, x_test, y_test = get_data(cfg)
    model = Regressor(x_train.shape[1], cfg.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    criterion = nn.MSELoss()
    for epoch in range(cfg.epochs):
        model.train()
        perm = torch.randperm(len(x_train))
        losses = []
        for start in range(0, len(perm), cfg.batch_size):
            idx = perm[start : start + cfg.batch_size]
            losses.append(train_step(model, optimizer, criterion, x_train[idx], y_train[idx]))
        model.eval()
        with torch.no_grad():
            pred = model(x_test)
        r2 = r2_score(y_test.numpy(), pred.numpy())
        print(f"epoch {epoch:3d} mse {sum(losses) / len(losses):.4f} test r2 {r2:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    ns = parser.parse_args()
    main(Config(seed=ns.seed, epochs=ns.epochs))
