import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

WORDS = "the a small big red old cat dog bird house tree sees likes hears under near and".split()


def make_text(n_words):
    pattern = [(0, 2), (2, 6), (6, 11), (11, 14), (0, 2), (2, 6), (6, 11), (14, 17)]
    picks = []
    for i in range(n_words):
        low, high = pattern[i % len(pattern)]
        picks.append(WORDS[int(torch.randint(low, high, (1,)))])
    return " ".join(picks)


class TinyGPT(nn.Module):
    def __init__(self, vocab, dim=48, context=32, heads=4):
        super().__init__()
        self.context = context
        self.tok = nn.Embedding(vocab, dim)
        self.pos = nn.Embedding(context, dim)
        self.block = nn.TransformerEncoderLayer(dim, heads, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        self.head.weight = self.tok.weight
        self.register_buffer("mask", torch.triu(torch.full((context, context), -math.inf), diagonal=1))

    def forward(self, idx):
        t = idx.shape[1]
        x = self.tok(idx) + self.pos(torch.arange(t))
        x = self.block(x, src_mask=self.mask[:t, :t])
        return self.head(self.norm(x))


def get_batch(data, context, size):
    starts = torch.randint(0, len(data) - context - 1, (size,))
    x = torch.stack([data[s : s + context] for s in starts])
    y = torch.stack([data[s + 1 : s + context + 1] for s in starts])
    return x, y


@torch.no_grad()
def estimate(model, data, batches=5):
    model.eval()
    losses = []
    for _ in range(batches):
        x, y = get_batch(data, model.context, 32)
        losses.append(F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item())
    model.train()
    return sum(losses) / len(losses)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    text = make_text(6000)
    chars = sorted(set(text))
    data = torch.tensor([chars.index(c) for c in text])
    train_data, val_data = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]

    model = TinyGPT(len(chars))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    for step in range(args.max_steps + 1):
        if step % 50 == 0:
            print(f"step {step}: val loss {estimate(model, val_data):.4f} (uniform {math.log(len(chars)):.4f})")
        x, y = get_batch(train_data, model.context, 16)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
