import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def weather(n):
    """Anomalies in kelvin, around zero, from six standardised predictors."""
    x = torch.randn(n, 6)
    y = 1.5 * x[:, 0] - x[:, 1] * x[:, 2] + torch.sin(2 * x[:, 3]) + 0.2 * torch.randn(n)
    return x, y.unsqueeze(1)


class AnomalyNet(nn.Sequential):
    def __init__(self, hidden=48):
        super().__init__(
            nn.Linear(6, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )


def train_step(model, batch, loss_fn, optimizer):
    x, y = batch
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def eval_step(model, batch, loss_fn):
    x, y = batch
    with torch.no_grad():
        return loss_fn(model(x), y).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = weather(2400)
    train_set, val_set = random_split(TensorDataset(x, y), [2000, 400])
    train_loader = DataLoader(train_set, batch_size=40, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=200)
    model = AnomalyNet()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        train_losses = [train_step(model, batch, loss_fn, optimizer) for batch in train_loader]
        model.eval()
        val_losses = [eval_step(model, batch, loss_fn) for batch in val_loader]
        train_loss, val_loss = sum(train_losses) / len(train_losses), sum(val_losses) / len(val_losses)
        print(f"epoch {epoch + 1}: train {train_loss:.4f} val {val_loss:.4f} (variance {y.var():.2f})")
