import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def learning_rate(step, base_lr, warmup_steps, total_steps):
    """Linear warm-up, then linear decay to zero."""
    if step < warmup_steps:
        return base_lr * ((step + 1) / warmup_steps)
    return base_lr * ((total_steps - step) / (total_steps - warmup_steps))


class PatchMixer(nn.Module):
    """Digits cut into 16 patches of 2x2, one mixing block."""

    def __init__(self, dim=32):
        super().__init__()
        self.embed = nn.Conv2d(1, dim, 2, stride=2)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.tokens = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.channels = nn.Sequential(nn.Linear(dim, 64), nn.GELU(), nn.Linear(64, dim))
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        h = self.embed(x).flatten(2).transpose(1, 2)
        h = h + self.tokens(self.norm1(h).transpose(1, 2)).transpose(1, 2)
        h = h + self.channels(self.norm2(h))
        return self.head(h.mean(dim=1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=4e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = load_digits(return_X_y=True)
    x = (torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) - 4.88) / 6.02
    y = torch.tensor(y)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=357, random_state=args.seed, stratify=y)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=36, shuffle=True)

    model = PatchMixer()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    total_steps = args.epochs * len(loader)
    warmup_steps = total_steps // 10
    step = 0
    for epoch in range(args.epochs):
        model.train()
        running = 0.0
        for images, labels in loader:
            lr = learning_rate(step, args.lr, warmup_steps, total_steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            step += 1
        model.eval()
        with torch.no_grad():
            accuracy = (model(x_val).argmax(1) == y_val).float().mean().item()
        print(f"epoch {epoch + 1:2d}/{args.epochs}  loss {running / len(loader):.4f}  val acc {accuracy:.4f}")


if __name__ == "__main__":
    main()
