import argparse
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


@dataclass
class Config:
    dim: int = 32
    depth: int = 2
    heads: int = 4
    drop_path: float = 0.1
    smoothing: float = 0.1
    lr: float = 4e-3
    weight_decay: float = 0.05
    batch: int = 64


class Block(nn.Module):
    def __init__(self, cfg, rate):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(cfg.dim), nn.LayerNorm(cfg.dim)
        self.qkv, self.proj = nn.Linear(cfg.dim, 3 * cfg.dim), nn.Linear(cfg.dim, cfg.dim)
        self.mlp = nn.Sequential(nn.Linear(cfg.dim, 2 * cfg.dim), nn.GELU(), nn.Linear(2 * cfg.dim, cfg.dim))
        self.heads, self.rate = cfg.heads, rate

    def keep(self, x):
        if not self.training or self.rate == 0:
            return x
        alive = (torch.rand(len(x), 1, 1) >= self.rate).float()
        return x * alive / (1 - self.rate)

    def attend(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d))

    def forward(self, x):
        x = x + self.keep(self.attend(self.n1(x)))
        return x + self.keep(self.mlp(self.n2(x)))


class ViT(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.patch = nn.Conv2d(1, cfg.dim, 2, stride=2)
        self.pos = nn.Parameter(0.02 * torch.randn(1, 16, cfg.dim))
        rates = torch.linspace(0, cfg.drop_path, cfg.depth).tolist()
        self.blocks = nn.Sequential(*[Block(cfg, r) for r in rates])
        self.norm, self.head = nn.LayerNorm(cfg.dim), nn.Linear(cfg.dim, 10)

    def forward(self, x):
        t = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        return self.head(self.norm(self.blocks(t)).mean(1))


def cutmix(x, y):
    if torch.rand(()) < 0.6:
        return x, y, y, 1.0
    perm = torch.randperm(len(x))
    h, w = torch.randint(2, 6, (2,)).tolist()
    r, c = int(torch.randint(0, 9 - h, ())), int(torch.randint(0, 9 - w, ()))
    x = x.clone()
    x[:, :, r : r + h, c : c + w] = x[perm, :, r : r + h, c : c + w]
    return x, y, y[perm], 1 - h * w / 64


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=14)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    cfg = Config()
    d = load_digits()
    order = torch.randperm(len(d.target))
    x = torch.tensor(d.images, dtype=torch.float32)[order].unsqueeze(1)
    y = torch.tensor(d.target)[order]
    x = (x - x[:1400].mean()) / x[:1400].std()
    xtr, ytr, xva, yva = x[:1400], y[:1400], x[1400:], y[1400:]

    model = ViT(cfg)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    opt = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": cfg.weight_decay}, {"params": others, "weight_decay": 0.0}], lr=cfg.lr
    )
    steps = args.epochs * -(-len(xtr) // cfg.batch)
    warm = steps // 10
    sched = torch.optim.lr_scheduler.LambdaLR(
        opt, lambda s: (s + 1) / warm if s < warm else max(0.02, (steps - s) / (steps - warm))
    )

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for idx in torch.randperm(len(xtr)).split(cfg.batch):
            xb, ya, yb, lam = cutmix(xtr[idx], ytr[idx])
            z = model(xb)
            loss = lam * F.cross_entropy(z, ya, label_smoothing=cfg.smoothing) + (1 - lam) * F.cross_entropy(
                z, yb, label_smoothing=cfg.smoothing
            )
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            opt.step()
            sched.step()
            total += loss.item() * len(idx)
        model.eval()
        with torch.no_grad():
            z = model(xva)
        print(
            f"epoch {epoch + 1:2d}  train {total / len(xtr):.4f}  val {F.cross_entropy(z, yva):.4f}"
            f"  acc {(z.argmax(1) == yva).float().mean():.4f}"
        )


if __name__ == "__main__":
    main()
