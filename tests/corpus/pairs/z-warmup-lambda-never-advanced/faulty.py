"""Tiny transformer encoder that finds the most frequent symbol of a sequence."""

import argparse
import math

import torch
import torch.nn as nn


def make_sequences(n, length, gen):
    """The label says which of the symbols 1..4 occurs most often (0 is filler)."""
    x = torch.randint(0, 6, (n, length), generator=gen)
    fav = torch.randint(1, 5, (n,), generator=gen)
    place = torch.rand(n, length, generator=gen) < 0.3
    x = torch.where(place, fav[:, None].expand_as(x), x)
    counts = torch.stack([(x == s).sum(1) for s in range(1, 5)], 1)
    top2 = counts.topk(2, dim=1).values
    keep = top2[:, 0] > top2[:, 1]
    return x[keep], counts[keep].argmax(1)


class CountModel(nn.Module):
    def __init__(self, symbols=6, dim=32, length=24, classes=4):
        super().__init__()
        self.tok = nn.Embedding(symbols, dim)
        self.pos = nn.Parameter(0.02 * torch.randn(length, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.enc = nn.TransformerEncoder(layer, 1, norm=nn.LayerNorm(dim), enable_nested_tensor=False)
        self.head = nn.Linear(dim, classes)

    def forward(self, x):
        return self.head(self.enc(self.tok(x) + self.pos).mean(1))


def get_schedule(optimizer, warmup, total):
    def factor(step):
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed + 7)
    x, y = make_sequences(3600, 24, gen)
    x, xv, y, yv = x[500:], x[:500], y[500:], y[:500]

    model = CountModel()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    steps_per_epoch = math.ceil(len(x) / args.batch_size)
    scheduler = get_schedule(optimizer, args.warmup, args.epochs * steps_per_epoch)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for idx in torch.randperm(len(x)).split(args.batch_size):
            loss = criterion(model(x[idx]), y[idx])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        model.eval()
        with torch.no_grad():
            logits = model(xv)
        print(
            f"epoch {epoch}  train {total / len(x):.4f}  val {criterion(logits, yv).item():.4f}  "
            f"acc {(logits.argmax(-1) == yv).float().mean().item():.3f}"
        )


if __name__ == "__main__":
    main()
