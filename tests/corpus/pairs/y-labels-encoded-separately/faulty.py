"""Which port does a ship of these measures come from? String labels, one table for training, one for testing."""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

PORTS = ["Oslo", "Aden", "Lima", "Bari", "Kobe", "Cork"]


def table(n, rng):
    port = rng.integers(len(PORTS), size=n)
    centres = np.random.default_rng(7).normal(size=(len(PORTS), 8))
    return centres[port] + rng.normal(0, 0.7, size=(n, 8)), [PORTS[i] for i in port]


class LabelCodes:
    """Codes in the order of first appearance."""

    def __init__(self, names):
        self.codes = {name: i for i, name in enumerate(dict.fromkeys(names))}

    def __call__(self, name):
        return self.codes[name]


class Ships(Dataset):
    def __init__(self, rows, names, codes):
        self.rows = torch.tensor(rows, dtype=torch.float32)
        self.targets = torch.tensor([codes(name) for name in names])

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        return self.rows[i], self.targets[i]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train_rows, train_names = table(1800, rng)
    test_rows, test_names = table(600, rng)
    train_codes = LabelCodes(train_names)
    train_loader = DataLoader(Ships(train_rows, train_names, train_codes), batch_size=30, shuffle=True)
    test_codes = LabelCodes(test_names)
    test_loader = DataLoader(Ships(test_rows, test_names, test_codes), batch_size=200)

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, len(PORTS)))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    ce = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        for name, loader in (("train", train_loader), ("test", test_loader)):
            training = name == "train"
            net.train(training)
            loss_sum, right, n = 0.0, 0, 0
            for x, y in loader:
                with torch.set_grad_enabled(training):
                    out = net(x)
                    loss = ce(out, y)
                if training:
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
                loss_sum += loss.item() * len(y)
                right += (out.argmax(1) == y).sum().item()
                n += len(y)
            print(f"epoch {epoch:2d} {name:>5}: loss {loss_sum / n:.4f} accuracy {right / n:.4f}")


if __name__ == "__main__":
    main()
