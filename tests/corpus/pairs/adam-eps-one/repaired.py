import argparse
import math

import torch
from torch import nn


class Downsample(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv1d(cin, cout, 5, stride=2, padding=2)
        self.act = nn.GELU()

    def forward(self, x):
        return self.act(self.conv(x))


def heartbeat(n, length=64):
    """Synthetic beats; class 1 has a second, wider bump; class 2 an inverted peak."""
    t = torch.linspace(-1, 1, length)
    y = torch.randint(0, 3, (n,))
    where = 0.3 * (torch.rand(n, 1) - 0.5)
    peak = torch.exp(-(((t - where) / 0.06) ** 2))
    bump = 0.5 * torch.exp(-(((t - where - 0.4) / 0.15) ** 2))
    sign = torch.where(y == 2, -1.0, 1.0).unsqueeze(1)
    beat = sign * peak + bump * (y == 1).unsqueeze(1)
    drift = 0.2 * torch.sin(math.pi * t + 6 * torch.rand(n, 1))
    return (beat + drift + 0.15 * torch.randn(n, length)).unsqueeze(1), y


class State:
    def __init__(self, args):
        self.model = nn.Sequential(
            Downsample(1, 8),
            Downsample(8, 16),
            Downsample(16, 16),
            nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Linear(16, 3),
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=args.lr, eps=args.eps)
        self.criterion = nn.CrossEntropyLoss()
        self.step = 0


def train_step(state, x, y):
    state.model.train()
    state.optimizer.zero_grad(set_to_none=True)
    loss = state.criterion(state.model(x), y)
    loss.backward()
    state.optimizer.step()
    state.step += 1
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--eps", type=float, default=1e-8)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = heartbeat(1800)
    x_train, y_train, x_val, y_val = x[:1500], y[:1500], x[1500:], y[1500:]
    state = State(args)
    for epoch in range(args.epochs):
        losses = [train_step(state, x_train[i], y_train[i]) for i in torch.randperm(1500).split(30)]
        state.model.eval()
        with torch.no_grad():
            logits = state.model(x_val)
        val_loss = state.criterion(logits, y_val).item()
        accuracy = (logits.argmax(1) == y_val).float().mean().item()
        print(f"epoch {epoch:2d} loss {sum(losses) / len(losses):.4f} val {val_loss:.4f} acc {accuracy:.3f}")


if __name__ == "__main__":
    main()
