"""Decoder-only transformer that learns to reverse short strings: 'abcd>dcba'."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

LETTERS, LEN = 12, 8
SEP = LETTERS
VOCAB = LETTERS + 1


def make_batch(n):
    src = torch.randint(0, LETTERS, (n, LEN))
    sep = torch.full((n, 1), SEP)
    seq = torch.cat([src, sep, src.flip(1)], dim=1)
    x, y = seq[:, :-1], seq[:, 1:].clone()
    y[:, :LEN] = -100  # only the answer counts
    return x, y


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x, mask):
        h = self.ln1(x)
        h, _ = self.attn(h, h, h, attn_mask=mask, need_weights=False)
        x = x + h
        return x + self.ff(self.ln2(x))


class Decoder(nn.Module):
    def __init__(self, d=48, heads=4, layers=2):
        super().__init__()
        self.tok = nn.Embedding(VOCAB, d)
        self.pos = nn.Embedding(2 * LEN, d)
        self.blocks = nn.ModuleList(Block(d, heads) for _ in range(layers))
        self.ln = nn.LayerNorm(d)
        self.out = nn.Linear(d, VOCAB)

    def forward(self, x):
        T = x.size(1)
        h = self.tok(x) + self.pos(torch.arange(T))
        mask = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
        for block in self.blocks:
            h = block(h, mask)
        return self.out(self.ln(h))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=200)
    parser.add_argument("--warmup", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    model = Decoder()
    opt = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.9, 0.98), eps=1e-9)
    w = args.warmup
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda s: min((s + 1) / w, (w / (s + 1)) ** 0.5))
    step = 0
    while step < args.max_steps:
        model.train()
        x, y = make_batch(args.batch_size)
        logits = model(x)
        loss = F.cross_entropy(logits.reshape(-1, VOCAB), y.reshape(-1), ignore_index=-100)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        sched.step()
        step += 1
        if step % 20 == 0:
            model.eval()
            with torch.no_grad():
                x, y = make_batch(200)
                pred = model(x)[:, LEN:].argmax(-1)
                exact = (pred == y[:, LEN:]).all(1).float().mean().item()
            print(f"step {step:4d} lr {sched.get_last_lr()[0]:.2e} loss {loss.item():.3f} exact {exact:.3f}")


if __name__ == "__main__":
    main()
