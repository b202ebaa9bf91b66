import argparse
import math

import torch
import torch.nn as nn

VOCAB, LENGTH, CLS = 12, 16, 11


def sample(n):
    """Class = which of the tokens 0, 1, 2 occurs most often in the string."""
    tokens = torch.randint(3, 11, (n, LENGTH))
    y = torch.randint(0, 3, (n,))
    for c, hi in ((0, 3), (1, 3), (2, 3)):
        count = torch.where(y == c, torch.randint(4, 6, (n,)), torch.randint(0, hi, (n,)))
        lo = c * 5
        slots = torch.arange(LENGTH)[None]
        put = (slots >= lo) & (slots < lo + count[:, None])
        tokens[put] = c
    order = torch.rand(n, LENGTH).argsort(1)
    tokens = tokens.gather(1, order)
    return torch.cat([torch.full((n, 1), CLS), tokens], 1), y


class Classifier(nn.Module):
    def __init__(self, d=32, heads=4, layers=2):
        super().__init__()
        self.d = d
        self.emb = nn.Embedding(VOCAB, d)
        self.pos = nn.Parameter(torch.randn(1, LENGTH + 1, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, heads, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, 3)

    def forward(self, tokens):
        h = self.encoder(self.emb(tokens) + self.pos)
        return self.head(self.norm(h[:, 0]))


def noam(d_model, warmup):
    def factor(step):
        step = step + 1
        return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)

    return factor


def batches(x, y, size):
    for idx in torch.randperm(len(y)).split(size):
        yield x[idx], y[idx]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=6)
    ap.add_argument("--batch-size", type=int, default=32)
    ap.add_argument("--warmup", type=int, default=120)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    xtr, ytr = sample(2500)
    xva, yva = sample(800)
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, betas=(0.9, 0.98), eps=1e-9)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, noam(model.d, args.warmup))
    criterion = nn.CrossEntropyLoss()

    for epoch in range(1, args.epochs + 1):
        model.train()
        total, count = 0.0, 0
        for x, y in batches(xtr, ytr, args.batch_size):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
            total, count = total + loss.item(), count + 1
        model.eval()
        with torch.no_grad():
            logits = model(xva)
            vloss = criterion(logits, yva).item()
            acc = (logits.argmax(1) == yva).float().mean().item()
        print(
            f"epoch {epoch}: train loss {total / count:.4f} ppl {math.exp(total / count):.2f} "
            f"val loss {vloss:.4f} acc {acc:.3f}"
        )


main()
