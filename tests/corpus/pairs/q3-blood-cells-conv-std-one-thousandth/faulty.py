import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def init_weights(m):
    if isinstance(m, (nn.Conv2d, nn.Linear)):
        nn.init.normal_(m.weight, mean=0.0, std=0.001)
        nn.init.zeros_(m.bias)


def cells(n, rng):
    yy, xx = np.mgrid[0:16, 0:16]
    x = np.zeros((n, 1, 16, 16), dtype=np.float32)
    y = rng.integers(0, 3, n)
    for i in range(n):
        cy, cx = rng.uniform(6, 10, 2)
        a, b = {0: (4, 4), 1: (5.5, 2.5), 2: (4, 4)}[int(y[i])]
        t = rng.uniform(0, np.pi)
        u = (yy - cy) * np.cos(t) + (xx - cx) * np.sin(t)
        v = -(yy - cy) * np.sin(t) + (xx - cx) * np.cos(t)
        r = (u / a) ** 2 + (v / b) ** 2
        body = (r < 1).astype(np.float32)
        if y[i] == 2:
            body[r < 0.2] = 0.2
        x[i, 0] = body + rng.normal(0, 0.2, (16, 16))
    x = (x - 0.2) / 0.45
    return torch.from_numpy(x), torch.from_numpy(y)


class CellNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(16 * 16, 32), nn.ReLU(), nn.Linear(32, 3))
        self.apply(init_weights)

    def forward(self, x):
        return self.classifier(self.features(x))


class Experiment:
    def __init__(self, args):
        rng = np.random.default_rng(args.seed)
        self.train_dl = DataLoader(TensorDataset(*cells(1200, rng)), batch_size=24, shuffle=True)
        self.val_x, self.val_y = cells(400, rng)
        self.net = CellNet()
        self.criterion = nn.CrossEntropyLoss()
        self.optim = torch.optim.SGD(self.net.parameters(), lr=args.lr, momentum=0.9)

    def step(self, x, y):
        self.optim.zero_grad()
        loss = self.criterion(self.net(x), y)
        loss.backward()
        self.optim.step()
        return loss.item()

    def validate(self):
        self.net.eval()
        with torch.no_grad():
            out = self.net(self.val_x)
            res = self.criterion(out, self.val_y).item(), (out.argmax(1) == self.val_y).float().mean().item()
        self.net.train()
        return res

    def run(self, epochs):
        for e in range(epochs):
            losses = [self.step(x, y) for x, y in self.train_dl]
            vloss, vacc = self.validate()
            print(f"epoch {e}: loss={np.mean(losses):.4f} val_loss={vloss:.4f} val_acc={vacc:.3f}")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--lr", type=float, default=0.01)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    Experiment(args).run(args.epochs)
