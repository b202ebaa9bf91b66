import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH = 64


def signals(n):
    """Half of the signals contain a short burst whose envelope falls off, the others none."""
    x = 0.5 * torch.randn(n, LENGTH).cumsum(1) / 8 + 0.3 * torch.randn(n, LENGTH)
    y = torch.arange(n) % 2
    t = torch.arange(LENGTH).float()
    start = torch.randint(4, LENGTH - 16, (n, 1)).float()
    since = (t - start).clamp(min=0)
    burst = (t >= start) * torch.exp(-since / 6) * torch.sin(1.6 * since + 6.28 * torch.rand(n, 1))
    x = x + 1.4 * y[:, None] * burst
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    return x.unsqueeze(1), y.float()


class Onset(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, 16, 9, padding=4),
            nn.ReLU(),
            nn.Conv1d(16, 16, 9, padding=4),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(1),
        )
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def accuracy(logits, y):
    pred = (logits > 0).float()
    return (pred == y).float().mean().item()


def run(model, loader, criterion, optimizer=None):
    is_train = optimizer is not None
    model.train() if is_train else model.eval()
    losses, accs = [], []
    with torch.set_grad_enabled(is_train):
        for x, y in loader:
            logits = model(x)
            loss = criterion(logits, y.unsqueeze(1))
            if is_train:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
            accs.append(accuracy(logits.detach(), y))
    return sum(losses) / len(losses), sum(accs) / len(accs)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--batch", type=int, default=40)
    p.add_argument("--lr", type=float, default=2e-3)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    train = DataLoader(TensorDataset(*signals(2000)), batch_size=args.batch, shuffle=True)
    val = DataLoader(TensorDataset(*signals(400)), batch_size=100)
    model = Onset()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        tl, ta = run(model, train, criterion, optimizer)
        vl, va = run(model, val, criterion)
        print(f"Epoch {epoch + 1:02d}: train_loss={tl:.4f} train_acc={ta:.4f} val_loss={vl:.4f} val_acc={va:.4f}")


if __name__ == "__main__":
    main()
