import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Subset, TensorDataset


class Trainer:
    def __init__(self, model, loaders, lr, clip):
        self.model = model
        self.train_loader, self.val_loader = loaders
        self.clip = clip
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        for p in self.model.parameters():
            p.data.clamp_(-self.clip, self.clip)
        return loss.item()

    def validate(self):
        self.model.eval()
        loss, hits, n = 0.0, 0, 0
        with torch.no_grad():
            for x, y in self.val_loader:
                z = self.model(x)
                loss += self.criterion(z, y).item() * len(y)
                hits += (z.argmax(1) == y).sum().item()
                n += len(y)
        self.model.train()
        return loss / n, hits / n

    def fit(self, epochs):
        self.model.train()
        for epoch in range(epochs):
            losses = [self.step(x, y) for x, y in self.train_loader]
            val_loss, val_acc = self.validate()
            print(
                f"epoch {epoch:02d} loss={sum(losses) / len(losses):.4f} val_loss={val_loss:.4f} val_acc={val_acc:.4f}",
                flush=True,
            )


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--clip", type=float, default=0.01)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    x = torch.tensor(d.data, dtype=torch.float32) / 8 - 1
    ds = TensorDataset(x, torch.tensor(d.target))
    perm = torch.randperm(len(ds)).tolist()
    loaders = (
        DataLoader(Subset(ds, perm[:1400]), batch_size=32, shuffle=True),
        DataLoader(Subset(ds, perm[1400:]), batch_size=200),
    )
    model = nn.Sequential(
        nn.Linear(64, 128),
        nn.LeakyReLU(0.2),
        nn.Linear(128, 64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, 10),
    )
    Trainer(model, loaders, args.lr, args.clip).fit(args.epochs)


main()
