import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def get_loaders(batch_size):
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32)
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x))
    train, val = order[:1440], order[1440:]
    mean, std = x[train].mean(0), x[train].std(0)
    x = (x - mean) / std.clamp(min=1.0)
    return (
        DataLoader(TensorDataset(x[train], y[train]), batch_size=batch_size, shuffle=True),
        DataLoader(TensorDataset(x[val], y[val]), batch_size=batch_size),
    )


class Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x)


class TwoLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 50)
        self.out = nn.Linear(50, 10)

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(x)))


def fit(name, model, loaders, epochs, lr):
    train_loader, val_loader = loaders
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)
    for epoch in range(epochs):
        model.train()
        for x, y in train_loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            parts = [(model(x), y) for x, y in val_loader]
        logits, y = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
        val_loss = nn.functional.cross_entropy(logits, y)
        print(f"{name} epoch {epoch}: val loss {val_loss:.4f}, val acc {(logits.argmax(1) == y).float().mean():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["logistic", "mlp"], default="mlp")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    fit(args.model, Logistic() if args.model == "logistic" else TwoLayer(), get_loaders(40), args.epochs, args.lr)
