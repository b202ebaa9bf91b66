import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return x.flatten(1)


def loaders(x, y, generator):
    order = torch.randperm(len(x), generator=generator)
    cut = int(0.8 * len(x))
    train, val = order[:cut], order[cut:]
    return (
        DataLoader(TensorDataset(x[train], y[train]), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(x[val], y[val]), batch_size=128),
    )


def fit(name, body, head, frozen, train_loader, val_loader, epochs, lr):
    parameters = list(head.parameters()) if frozen else [*body.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for epoch in range(1, epochs + 1):
        body.train(not frozen)
        head.train()
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(head(body(x)), y)
            loss.backward()
            optimizer.step()
            total += loss.item() / len(train_loader)
        body.eval()
        head.eval()
        with torch.no_grad():
            out = [(head(body(x)), y) for x, y in val_loader]
        logits, y = torch.cat([o for o, _ in out]), torch.cat([t for _, t in out])
        accuracy = (logits.argmax(1) == y).float().mean()
        print(f"{name} {epoch}: train {total:.4f}, val {F.cross_entropy(logits, y):.4f}, accuracy {accuracy:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16 - 0.3
    y = torch.tensor(digits.target)
    low, high = y < 6, y >= 6

    body = Body()
    fit("source", body, nn.Linear(128, 6), False, *loaders(x[low], y[low], generator), args.epochs, args.lr)
    body.requires_grad_(False)
    head = nn.Linear(128, 4)
    fit("target", body, head, True, *loaders(x[high], y[high] - 6, generator), args.epochs, 3 * args.lr)


if __name__ == "__main__":
    main()
