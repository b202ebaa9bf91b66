import argparse
import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    vocab: int = 20
    length: int = 12
    dim: int = 32
    heads: int = 4
    layers: int = 2
    batch: int = 64
    epochs: int = 7
    lr: float = 1e-3
    weight_decay: float = 0.01


def make_sequences(n, cfg, gen):
    """Label 1 when the token 1 shows up before the token 2."""
    x = torch.randint(3, cfg.vocab, (n, cfg.length), generator=gen)
    pos = torch.rand(n, cfg.length, generator=gen).argsort(1)[:, :2]
    rows = torch.arange(n)
    x[rows, pos[:, 0]] = 1
    x[rows, pos[:, 1]] = 2
    return x, (pos[:, 0] < pos[:, 1]).long()


class SequenceClassifier(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tok = nn.Embedding(cfg.vocab, cfg.dim)
        pe = torch.zeros(cfg.length, cfg.dim)
        t = torch.arange(cfg.length).unsqueeze(1)
        div = torch.exp(torch.arange(0, cfg.dim, 2) * (-math.log(10000.0) / cfg.dim))
        pe[:, 0::2] = torch.sin(t * div)
        pe[:, 1::2] = torch.cos(t * div)
        self.register_buffer("pe", pe)
        layer = nn.TransformerEncoderLayer(
            cfg.dim, cfg.heads, 4 * cfg.dim, dropout=0.1, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, cfg.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(cfg.dim)
        self.out = nn.Linear(cfg.dim, 2)

    def forward(self, x):
        h = self.encoder(self.tok(x) + self.pe)
        return self.out(self.norm(h).mean(1))


def run_epoch(model, x, y, cfg, criterion, optimizer=None):
    training = optimizer is not None
    model.train(training)
    order = torch.randperm(len(x)) if training else torch.arange(len(x))
    loss_sum, hits = 0.0, 0
    with torch.set_grad_enabled(training):
        for idx in order.split(cfg.batch):
            logits = model(x[idx])
            loss = criterion(logits, y[idx])
            if training:
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
            loss_sum += loss.item() * len(idx)
            hits += (logits.argmax(-1) == y[idx]).sum().item()
    return loss_sum / len(x), hits / len(x)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=Config.epochs)
    a = ap.parse_args()
    torch.manual_seed(a.seed)
    cfg = Config(epochs=a.epochs)
    gen = torch.Generator().manual_seed(a.seed)
    xtr, ytr = make_sequences(2000, cfg, gen)
    xva, yva = make_sequences(500, cfg, gen)
    model = SequenceClassifier(cfg)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.weight_decay)
    for epoch in range(cfg.epochs):
        tl, ta = run_epoch(model, xtr, ytr, cfg, criterion, optimizer)
        vl, va = run_epoch(model, xva, yva, cfg, criterion)
        print(f"[{epoch:02d}] loss {tl:.4f} acc {ta:.3f} | val loss {vl:.4f} acc {va:.3f}")
