import argparse
from dataclasses import dataclass, field

import torch
import torch.nn as nn
from torch.optim.lr_scheduler import LambdaLR


@dataclass
class Settings:
    length: int = 24
    dim: int = 32
    layers: int = 2
    batch: int = 64
    steps: int = 300
    warmup: int = 60
    peak_lr: float = 2e-3
    betas: tuple = field(default=(0.9, 0.98))


def sample(n, length):
    """Majority of 3 symbols with ties broken by redrawing; class = most frequent symbol."""
    x = torch.randint(0, 3, (4 * n, length))
    counts = nn.functional.one_hot(x, 3).sum(1)
    top = counts.topk(2, dim=1).values
    keep = (top[:, 0] > top[:, 1]).nonzero().flatten()[:n]
    return x[keep], counts[keep].argmax(1)


class Model(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.emb = nn.Embedding(4, s.dim)
        self.pos = nn.Parameter(0.02 * torch.randn(s.length + 1, s.dim))
        block = nn.TransformerEncoderLayer(
            s.dim, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, s.layers, norm=nn.LayerNorm(s.dim), enable_nested_tensor=False)
        self.out = nn.Linear(s.dim, 3)

    def forward(self, x):
        cls = torch.full((len(x), 1), 3)
        h = self.emb(torch.cat([cls, x], 1)) + self.pos
        return self.out(self.blocks(h)[:, 0])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--steps", type=int, default=Settings.steps)
    a = ap.parse_args()
    torch.manual_seed(a.seed)
    s = Settings(steps=a.steps)
    x_dev, y_dev = sample(500, s.length)
    model = Model(s)
    opt = torch.optim.AdamW(model.parameters(), lr=s.peak_lr, betas=s.betas, weight_decay=0.01)
    sched = LambdaLR(opt, lambda k: min((k + 1) / s.warmup, max(0.0, (s.steps - k) / (s.steps - s.warmup))))
    ce = nn.CrossEntropyLoss()
    step, mean = 0, 0.0
    model.train()
    while step < s.steps:
        x, y = sample(s.batch, s.length)
        loss = ce(model(x), y)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        sched.step()
        step += 1
        mean += loss.item()
        if step % 50 == 0:
            model.eval()
            with torch.no_grad():
                z = model(x_dev)
                print(
                    f"step {step}  loss {mean / 50:.4f}  dev {ce(z, y_dev).item():.4f}  acc {(z.argmax(1) == y_dev).float().mean():.3f}"
                )
            model.train()
            mean = 0.0


if __name__ == "__main__":
    main()
