import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def patients(n, w):
    """Thirty measurements, a linear risk, and outcomes that only partly follow it."""
    x = torch.randn(n, 30)
    risk = x @ w
    return x, (torch.rand(n) < torch.sigmoid(1.4 * risk)).float()


def loss_and_accuracy(model, x, y, criterion):
    model.eval()
    with torch.no_grad():
        out = model(x).squeeze(1)
    return criterion(out, y).item(), ((out > 0).float() == y).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    w = torch.zeros(30)
    w[:6] = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.7, 0.7])
    x_train, y_train = patients(args.rows, w)
    x_val, y_val = patients(800, w)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=20, shuffle=True)

    model = nn.Sequential(
        nn.Linear(30, args.hidden),
        nn.ReLU(),
        nn.Linear(args.hidden, args.hidden),
        nn.ReLU(),
        nn.Linear(args.hidden, 1),
    )
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=args.weight_decay)

    for epoch in range(1, args.epochs + 1):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x).squeeze(1), y)
            loss.backward()
            optimizer.step()
        train_loss, train_acc = loss_and_accuracy(model, x_train, y_train, criterion)
        val_loss, val_acc = loss_and_accuracy(model, x_val, y_val, criterion)
        if epoch < 10 or epoch % 10 == 0:
            print(f"epoch {epoch:3d}: train {train_loss:.4f} ({train_acc:.3f}) val {val_loss:.4f} ({val_acc:.3f})")


if __name__ == "__main__":
    main()
