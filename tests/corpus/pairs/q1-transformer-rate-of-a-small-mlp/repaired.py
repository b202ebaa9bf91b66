"""Which of four groups of symbols is the most frequent one in the sequence?"""

import argparse
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, random_split


@dataclass
class Config:
    vocab: int = 20
    seq_len: int = 16
    d_model: int = 32
    heads: int = 4
    layers: int = 2
    batch_size: int = 64
    epochs: int = 7
    lr: float = 2e-3


def make_data(cfg, n=3600):
    x = torch.randint(0, cfg.vocab, (n, cfg.seq_len))
    counts = torch.stack([(x % 4 == g).sum(1) for g in range(4)], dim=1)
    top = counts.topk(2, dim=1).values
    clear = top[:, 0] > top[:, 1]
    return TensorDataset(x[clear], counts.argmax(1)[clear])


class Encoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tok = nn.Embedding(cfg.vocab, cfg.d_model)
        self.pos = nn.Parameter(torch.randn(1, cfg.seq_len, cfg.d_model) * 0.1)
        layer = nn.TransformerEncoderLayer(cfg.d_model, cfg.heads, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.enc = nn.TransformerEncoder(layer, cfg.layers)
        self.out = nn.Linear(cfg.d_model, 4)

    def forward(self, x):
        h = self.enc(self.tok(x) + self.pos)
        return self.out(h.mean(1))


def run_epoch(model, loader, loss_fn, optimizer=None):
    model.train(optimizer is not None)
    total, right, seen = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for x, y in loader:
            logits = model(x)
            loss = loss_fn(logits, y)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(y)
            right += (logits.argmax(1) == y).sum().item()
            seen += len(y)
    return total / seen, right / seen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=Config.lr)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    cfg = Config(lr=args.lr)

    train_set, val_set = random_split(make_data(cfg), [0.8, 0.2])
    train_loader = DataLoader(train_set, batch_size=cfg.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=200)
    model = Encoder(cfg)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)
    loss_fn = nn.CrossEntropyLoss()

    for epoch in range(1, cfg.epochs + 1):
        tl, ta = run_epoch(model, train_loader, loss_fn, optimizer)
        vl, va = run_epoch(model, val_loader, loss_fn)
        print(f"epoch {epoch:2d}  train {tl:.4f} / {ta:.3f}   val {vl:.4f} / {va:.3f}")


if __name__ == "__main__":
    main()
