import argparse
import math

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, TensorDataset


def warmup_cosine(optimizer, warmup_steps, total_steps):
    def factor(step):
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


class ResidualMLP(nn.Module):
    def __init__(self, inputs, width, blocks, classes):
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_classification(2500, 20, n_informative=12, n_classes=4, class_sep=1.7, flip_y=0, random_state=args.seed)
    X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=500, random_state=args.seed)
    scaler = StandardScaler().fit(X_train)
    X_train, X_val = (torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (X_train, X_val))
    y_train, y_val = torch.tensor(y_train), torch.tensor(y_val)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=args.batch_size, shuffle=True)

    model = ResidualMLP(20, 48, 2, 4)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    total_steps = args.epochs * len(loader)
    scheduler = warmup_cosine(optimizer, warmup_steps=total_steps // 10, total_steps=total_steps)

    for epoch in range(args.epochs):
        model.train()
        losses = []
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        model.eval()
        with torch.no_grad():
            logits = model(X_val)
            acc = (logits.argmax(1) == y_val).float().mean().item()
        lr = scheduler.get_last_lr()[0]
        print(
            f"epoch {epoch + 1} lr {lr:.2e} loss {sum(losses) / len(losses):.4f} "
            f"val {criterion(logits, y_val).item():.4f} acc {acc:.3f}"
        )


if __name__ == "__main__":
    main()
