import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class AddingProblem(Dataset):
    """Two marked numbers in a sequence have to be added."""

    def __init__(self, n, length, seed):
        g = torch.Generator().manual_seed(seed)
        values = torch.rand(n, length, generator=g) * 2 - 1
        marks = torch.zeros(n, length)
        first = torch.randint(0, length // 2, (n,), generator=g)
        second = torch.randint(length // 2, length, (n,), generator=g)
        rows = torch.arange(n)
        marks[rows, first] = 1.0
        marks[rows, second] = 1.0
        self.x = torch.stack([values, marks], dim=-1)
        self.y = (values * marks).sum(1, keepdim=True)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class GRUSum(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.out(h[-1])


def evaluate(model, loader, loss_fn):
    model.eval()
    total, n = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            total += loss_fn(model(x), y).item() * len(y)
            n += len(y)
    return total / n


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--micro-batch", type=int, default=16)
    p.add_argument("--accumulate", type=int, default=4)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    train_loader = DataLoader(AddingProblem(2560, 12, args.seed), batch_size=args.micro_batch, shuffle=True)
    val_loader = DataLoader(AddingProblem(500, 12, args.seed + 999), batch_size=250)
    model = GRUSum()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    for epoch in range(args.epochs):
        model.train()
        epoch_loss = 0.0
        optimizer.zero_grad()
        for i, (x, y) in enumerate(train_loader, start=1):
            loss = loss_fn(model(x), y)
            (loss / args.accumulate).backward()
            epoch_loss += loss.item()
            if i % args.accumulate == 0:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
        print(
            f"epoch {epoch + 1:2d}: train mse {epoch_loss / len(train_loader):.4f}, "
            f"val mse {evaluate(model, val_loader, loss_fn):.4f}"
        )


if __name__ == "__main__":
    main()
