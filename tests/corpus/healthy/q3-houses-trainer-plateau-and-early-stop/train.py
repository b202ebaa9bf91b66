import argparse
import copy

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class EarlyStopping:
    def __init__(self, patience):
        self.patience, self.best, self.count, self.state = patience, np.inf, 0, None

    def __call__(self, value, model):
        if value < self.best - 1e-4:
            self.best, self.count, self.state = value, 0, copy.deepcopy(model.state_dict())
        else:
            self.count += 1
        return self.count >= self.patience


class PriceTrainer:
    def __init__(self, model, lr, patience):
        self.model = model
        self.criterion = nn.SmoothL1Loss()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-3)
        self.scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=2)
        self.stopper = EarlyStopping(patience)

    def _epoch(self, loader, train):
        self.model.train(train)
        out, n = 0.0, 0
        with torch.set_grad_enabled(train):
            for x, y in loader:
                loss = self.criterion(self.model(x), y)
                if train:
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                out += loss.item() * len(x)
                n += len(x)
        return out / n

    def fit(self, train_loader, val_loader, epochs):
        for epoch in range(epochs):
            tr = self._epoch(train_loader, True)
            va = self._epoch(val_loader, False)
            self.scheduler.step(va)
            print(f"epoch {epoch:3d} train {tr:.4f} val {va:.4f} lr {self.optimizer.param_groups[0]['lr']:.2e}")
            if self.stopper(va, self.model):
                print("early stop")
                break
        self.model.load_state_dict(self.stopper.state)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=30)
    p.add_argument("--patience", type=int, default=5)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    X, y = make_friedman1(2400, n_features=10, noise=1.0, random_state=args.seed)
    parts = np.split(np.random.default_rng(args.seed).permutation(len(X)), [1700, 2050])
    xs, ys = StandardScaler().fit(X[parts[0]]), StandardScaler().fit(y[parts[0], None])

    def dataset(idx):
        return TensorDataset(
            torch.tensor(xs.transform(X[idx]), dtype=torch.float32),
            torch.tensor(ys.transform(y[idx, None]), dtype=torch.float32),
        )

    train, val, test = map(dataset, parts)
    model = nn.Sequential(nn.Linear(10, 48), nn.GELU(), nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 1))
    trainer = PriceTrainer(model, lr=2e-3, patience=args.patience)
    trainer.fit(DataLoader(train, 32, shuffle=True), DataLoader(val, 350), args.epochs)
    model.eval()
    with torch.no_grad():
        x, t = test.tensors
        r2 = 1 - ((model(x) - t) ** 2).mean() / t.var()
    print(f"test R2 {r2:.3f}")


if __name__ == "__main__":
    main()
