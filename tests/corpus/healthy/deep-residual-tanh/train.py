import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import make_swiss_roll
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Block(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.normal_(self.outer.weight, std=(1 / (2 * depth * width)) ** 0.5)

    def forward(self, x):
        return x + self.outer(torch.tanh(self.inner(self.norm(x))))


class DeepTanh(nn.Module):
    def __init__(self, n_in, n_out, width=32, depth=8):
        super().__init__()
        self.stem = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList(Block(width, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_out)

    def forward(self, x):
        x = torch.tanh(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--warmup", type=int, default=30)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    points, position = make_swiss_roll(2000, noise=0.3, random_state=args.seed)
    x = torch.tensor((points - points.mean(0)) / points.std(0), dtype=torch.float32)
    edges = torch.tensor([6.5, 8.5, 10.5, 12.5])
    y = torch.bucketize(torch.tensor(position, dtype=torch.float32), edges)  # five stretches of the roll
    train_loader = DataLoader(TensorDataset(x[:1600], y[:1600]), batch_size=32, shuffle=True)
    x_val, y_val = x[1600:], y[1600:]
    model = DeepTanh(3, 5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / args.warmup))
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            logits = model(x_val)
            val_loss = F.cross_entropy(logits, y_val).item()
            accuracy = (logits.argmax(1) == y_val).float().mean().item()
        print(f"epoch {epoch}: train {total / len(train_loader):.4f}, val {val_loss:.4f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
