"""Which of the four flags was raised last?  Sequences of symbols, GRU classifier."""

import argparse
from dataclasses import dataclass

import torch
import torch.nn as nn


@dataclass
class Config:
    seed: int = 0
    symbols: int = 12
    length: int = 20
    hidden: int = 24
    n_train: int = 3000
    n_val: int = 600
    batch: int = 60
    epochs: int = 14
    lr: float = 5e-3
    weight_decay: float = 1e-2


def make_sequences(n, cfg, gen):
    x = torch.randint(4, cfg.symbols, (n, cfg.length), generator=gen)
    flags = torch.rand(n, cfg.length, generator=gen) < 0.12
    which = torch.randint(0, 4, (n, cfg.length), generator=gen)
    x = torch.where(flags, which, x)
    x[:, 0] = torch.randint(0, 4, (n,), generator=gen)
    is_flag = x < 4
    last = cfg.length - 1 - is_flag.flip(1).float().argmax(1)
    y = x.gather(1, last[:, None]).squeeze(1)
    return x, y


class FlagReader(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.embed = nn.Embedding(cfg.symbols, 8)
        self.gru = nn.GRU(8, cfg.hidden, batch_first=True)
        self.norm = nn.LayerNorm(cfg.hidden)
        self.head = nn.Linear(cfg.hidden, 4)

    def forward(self, x):
        _, h = self.gru(self.embed(x))
        return self.head(self.norm(h[-1]))


def param_groups(model, weight_decay):
    decay, no_decay = [], []
    for name, p in model.named_parameters():
        if "norm" in name or name.endswith("head.bias") or "embed" in name:
            no_decay.append(p)
        elif "gru" in name or "head" in name:
            decay.append(p)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": no_decay, "weight_decay": 0.0}]


def run(cfg):
    torch.manual_seed(cfg.seed)
    gen = torch.Generator().manual_seed(cfg.seed + 100)
    xt, yt = make_sequences(cfg.n_train, cfg, gen)
    xv, yv = make_sequences(cfg.n_val, cfg, gen)
    model = FlagReader(cfg)
    opt = torch.optim.AdamW(param_groups(model, cfg.weight_decay), lr=cfg.lr)
    ce = nn.CrossEntropyLoss()
    for epoch in range(cfg.epochs):
        model.train()
        perm = torch.randperm(cfg.n_train)
        tot = 0.0
        for idx in perm.split(cfg.batch):
            opt.zero_grad()
            loss = ce(model(xt[idx]), yt[idx])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            opt.step()
            tot += loss.item() * len(idx)
        model.eval()
        with torch.no_grad():
            out = model(xv)
            vl, acc = ce(out, yv).item(), (out.argmax(1) == yv).float().mean().item()
        print(f"epoch {epoch:2d} train loss {tot / cfg.n_train:.3f} val loss {vl:.3f} val acc {acc:.3f}")


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=14)
    a = p.parse_args()
    run(Config(seed=a.seed, epochs=a.epochs))
