import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class WeightedBCE(nn.Module):
    """Cross-entropy in which a missed positive costs more than a false alarm."""

    def __init__(self, positive_weight):
        super().__init__()
        self.positive_weight = positive_weight

    def forward(self, logits, target):
        p = torch.sigmoid(logits)
        positive = target * torch.log(p)
        negative = (1 - target) * torch.log(1 - p)
        return -(self.positive_weight * positive + negative).mean()


def transactions(n, generator):
    """Log amounts and delays; the class depends on a clear threshold with little ambiguity around it."""
    x = torch.randn(n, 6, generator=generator)
    score = 2 * x[:, 0] - 1.5 * x[:, 1] + x[:, 2] * x[:, 3] + 0.1 * torch.randn(n, generator=generator)
    return x, (score > 0.5).float()


def main():
    parser = argparse.ArgumentParser(description="flag suspicious transactions")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--positive-weight", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(TensorDataset(*transactions(3000, generator)), batch_size=32, shuffle=True)
    x_val, y_val = transactions(600, generator)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    criterion = WeightedBCE(args.positive_weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for xb, yb in train_loader:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            logits = model(x_val)
            val_loss = criterion(logits, y_val).item()
            acc = ((logits > 0) == (y_val > 0.5)).float().mean().item()
        print(f"epoch {epoch + 1}: train {total / len(train_loader):.4f} val {val_loss:.4f} acc {acc:.3f}")


if __name__ == "__main__":
    main()
