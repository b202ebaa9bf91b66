import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

VOCAB, BLOCK = 24, 24


def sample_text(n, gen):
    """First-order chain: every symbol has four likely followers."""
    followers = torch.stack([torch.randperm(VOCAB, generator=gen)[:4] for _ in range(VOCAB)])
    choice = torch.multinomial(torch.tensor([0.55, 0.25, 0.15, 0.05]), n, replacement=True, generator=gen)
    text = [0]
    for c in choice.tolist():
        text.append(followers[text[-1], c].item())
    return torch.tensor(text)


class SelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.register_buffer("mask", torch.tril(torch.ones(BLOCK, BLOCK)).bool())

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, d // self.heads).transpose(1, 2) for z in self.qkv(x).chunk(3, dim=-1))
        att = q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)
        att = att.masked_fill(~self.mask[:t, :t], float("-inf"))
        att = att.softmax(dim=-1)
        return self.proj((att @ v).transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class TinyGPT(nn.Module):
    def __init__(self, dim=32, heads=2, layers=2):
        super().__init__()
        self.tok = nn.Embedding(VOCAB, dim)
        self.pos = nn.Embedding(BLOCK, dim)
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(layers)])
        self.ln = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, VOCAB)

    def forward(self, idx, targets):
        x = self.tok(idx) + self.pos(torch.arange(idx.shape[1]))
        logits = self.head(self.ln(self.blocks(x)))
        return F.cross_entropy(logits.view(-1, VOCAB), targets.reshape(-1))


def get_batch(data, batch_size):
    start = torch.randint(len(data) - BLOCK - 1, (batch_size,))
    x = torch.stack([data[s : s + BLOCK] for s in start])
    y = torch.stack([data[s + 1 : s + BLOCK + 1] for s in start])
    return x, y


@torch.no_grad()
def estimate_loss(model, data, iters=10):
    model.eval()
    loss = sum(model(*get_batch(data, 32)).item() for _ in range(iters)) / iters
    model.train()
    return loss


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--max-iters", type=int, default=450)
    ap.add_argument("--eval-interval", type=int, default=50)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    text = sample_text(20000, torch.Generator().manual_seed(args.seed))
    train_data, val_data = text[:18000], text[18000:]
    model = TinyGPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    running = 0.0
    for it in range(1, args.max_iters + 1):
        loss = model(*get_batch(train_data, 24))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        running += loss.item()
        if it % args.eval_interval == 0:
            val = estimate_loss(model, val_data)
            print(
                f"iter {it}: train loss {running / args.eval_interval:.4f}, val loss {val:.4f}, val perplexity {math.exp(val):.2f}"
            )
            running = 0.0
