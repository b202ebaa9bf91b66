import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def movements(n, steps=20):
    """Three kinds of movement seen by two noisy sensors."""
    kind = torch.randint(0, 3, (n,))
    t = torch.linspace(0, 2 * math.pi, steps)
    phase = 2 * math.pi * torch.rand(n, 1)
    speed = torch.tensor([1.0, 2.0, 3.5])[kind].unsqueeze(1)
    a = torch.sin(speed * t + phase) + 1.1 * torch.randn(n, steps)
    b = torch.cos(speed * t + phase) + 1.1 * torch.randn(n, steps)
    return torch.stack([a, b], dim=2), kind


class MotionNet(nn.Module):
    def __init__(self, hidden=24, drop=0.5):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True, bidirectional=True)
        self.fc1 = nn.Linear(2 * hidden, 32)
        self.fc2 = nn.Linear(32, 3)
        self.drop = drop

    def forward(self, x):
        h, _ = self.lstm(x)
        h = F.dropout(h.mean(dim=1), self.drop, training=self.training)
        h = F.relu(self.fc1(h))
        h = F.dropout(h, self.drop, training=self.training)
        return self.fc2(h)


def epoch_pass(model, loader, optimizer=None):
    model.train(optimizer is not None)
    loss_sum, hits, n = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for x, y in loader:
            out = model(x)
            loss = F.cross_entropy(out, y)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * len(y)
            hits += (out.argmax(dim=1) == y).sum().item()
            n += len(y)
    return loss_sum / n, hits / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_dl = DataLoader(TensorDataset(*movements(1600)), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(*movements(480)), batch_size=96)
    model = MotionNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(args.epochs):
        train_loss, train_acc = epoch_pass(model, train_dl, optimizer)
        val_loss, val_acc = epoch_pass(model, val_dl)
        print(f"Epoch {epoch}: train {train_loss:.3f} acc {train_acc:.3f} | val {val_loss:.3f} acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
