"""A tiny GPT trained on random windows: warm-up, cosine to zero, clipping, weight decay on matrices only."""

import argparse
import math
import random

import torch
import torch.nn as nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, dim, heads, ctx):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.qkv(self.ln1(x)).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, vocab, ctx=32, dim=48, heads=4, layers=2):
        super().__init__()
        self.ctx = ctx
        self.wte, self.wpe = nn.Embedding(vocab, dim), nn.Embedding(ctx, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, ctx) for _ in range(layers))
        self.ln_f = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.wte.weight = self.head.weight
        self.apply(self._init)

    def _init(self, m):
        if isinstance(m, (nn.Linear, nn.Embedding)):
            nn.init.normal_(m.weight, std=0.02)
            if getattr(m, "bias", None) is not None:
                nn.init.zeros_(m.bias)

    def forward(self, idx, targets=None):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1)))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--max-iters", type=int, default=320)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

rng = random.Random(args.seed)
digits = "".join(f"{a}+{b}={a + b};" for a, b in ((rng.randrange(20), rng.randrange(20)) for _ in range(4000)))
stoi = {c: i for i, c in enumerate(sorted(set(digits)))}
data = torch.tensor([stoi[c] for c in digits])
n = int(0.9 * len(data))
splits = {"train": data[:n], "val": data[n:]}
model = GPT(len(stoi))


def get_batch(split, batch_size=24):
    ix = torch.randint(len(splits[split]) - model.ctx, (batch_size,))
    x = torch.stack([splits[split][i : i + model.ctx] for i in ix])
    y = torch.stack([splits[split][i + 1 : i + 1 + model.ctx] for i in ix])
    return x, y


@torch.no_grad()
def estimate_loss(batches=10):
    model.eval()
    out = {s: sum(model(*get_batch(s))[1].item() for _ in range(batches)) / batches for s in splits}
    model.train()
    return out


def get_lr(it, warmup=40):
    if it < warmup:
        return args.lr * (it + 1) / warmup
    return 0.5 * args.lr * (1 + math.cos(math.pi * (it - warmup) / (args.max_iters - warmup)))


decay = [p for p in model.parameters() if p.dim() >= 2]
rest = [p for p in model.parameters() if p.dim() < 2]
optimizer = torch.optim.AdamW(
    [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=args.lr, betas=(0.9, 0.95)
)
for it in range(args.max_iters):
    for group in optimizer.param_groups:
        group["lr"] = get_lr(it)
    if it % 80 == 0 or it == args.max_iters - 1:
        losses = estimate_loss()
        print(f"step {it}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
    _, loss = model(*get_batch("train"))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
