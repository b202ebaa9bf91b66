import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class SupConLoss(nn.Module):
    def __init__(self, temperature=0.2):
        super().__init__()
        self.temperature = temperature

    def forward(self, z, labels):
        sim = z @ z.T / self.temperature
        itself = torch.eye(len(z), dtype=torch.bool)
        log_p = sim - torch.logsumexp(sim.masked_fill(itself, -1e9), dim=1, keepdim=True)
        same = (labels[:, None] == labels[None, :]) & ~itself
        per_anchor = (log_p * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)
        return -per_anchor[same.any(dim=1)].mean()


def jitter(x):
    return x + 0.3 * torch.randn_like(x)


def pretrain(encoder, projector, loader, epochs):
    criterion = SupConLoss()
    params = list(encoder.parameters()) + list(projector.parameters())
    optimizer = torch.optim.AdamW(params, lr=2e-3, weight_decay=1e-3)
    for epoch in range(epochs):
        encoder.train()
        total = 0.0
        for x, y in loader:
            z = F.normalize(projector(encoder(jitter(x))), dim=1)
            loss = criterion(z, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"pretrain {epoch + 1}: supcon {total / len(loader):.3f}")


def probe(encoder, train_loader, test_loader, epochs):
    encoder.requires_grad_(False)
    encoder.eval()
    head = nn.Linear(32, 10)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for epoch in range(epochs):
        for x, y in train_loader:
            loss = F.cross_entropy(head(encoder(x)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            hits = sum((head(encoder(x)).argmax(1) == y).sum().item() for x, y in test_loader)
        print(f"probe {epoch + 1}: test accuracy {hits / len(test_loader.dataset):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretrain-epochs", type=int, default=10)
    parser.add_argument("--probe-epochs", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = load_digits(return_X_y=True)
    order = torch.randperm(len(X))
    X, y = (torch.tensor(X, dtype=torch.float32)[order] - 4.88) / 6.02, torch.tensor(y)[order]
    train_loader = DataLoader(TensorDataset(X[:1440], y[:1440]), batch_size=60, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[1440:], y[1440:]), batch_size=357)

    encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32), nn.ReLU())
    projector = nn.Linear(32, 16)
    pretrain(encoder, projector, train_loader, args.pretrain_epochs)
    probe(encoder, train_loader, test_loader, args.probe_epochs)
