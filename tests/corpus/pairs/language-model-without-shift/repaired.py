import argparse
import random

import torch
from torch import nn

NAMES = "ann bob cid dora eve finn gus hal ida jon".split()
VERBS = "sees likes meets calls helps".split()
THINGS = "a red car|the old dog|a big house|the small boat|a green hat|the new road".split("|")


def write_text(n, seed):
    rng = random.Random(seed)
    lines = []
    for _ in range(n):
        who, whom = rng.choice(NAMES), rng.choice(NAMES + THINGS)
        lines.append(f"{who} {rng.choice(VERBS)} {whom}.")
    return " ".join(lines)


class CharModel(nn.Module):
    def __init__(self, vocab, dim=32, hidden=96):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.LSTM(dim, hidden, batch_first=True)
        self.decode = nn.Linear(hidden, vocab)

    def forward(self, x):
        out, _ = self.rnn(self.embed(x))
        return self.decode(out)


def get_batch(data, block, batch_size):
    starts = torch.randint(len(data) - block - 1, (batch_size,))
    x = torch.stack([data[s : s + block] for s in starts])
    y = torch.stack([data[s + 1 : s + block + 1] for s in starts])
    return x, y


@torch.no_grad()
def estimate_loss(model, splits, block):
    model.eval()
    result = {}
    for name, data in splits.items():
        losses = []
        for _ in range(5):
            x, y = get_batch(data, block, 64)
            logits = model(x)
            losses.append(nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).item())
        result[name] = sum(losses) / len(losses)
    model.train()
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-iters", type=int, default=300)
    parser.add_argument("--eval-interval", type=int, default=50)
    parser.add_argument("--block", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    text = write_text(3000, args.seed)
    chars = sorted(set(text))
    data = torch.tensor([chars.index(c) for c in text])
    cut = int(0.9 * len(data))
    splits = {"train": data[:cut], "val": data[cut:]}
    model = CharModel(len(chars))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    for step in range(args.max_iters + 1):
        if step % args.eval_interval == 0:
            losses = estimate_loss(model, splits, args.block)
            print(f"step {step}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
        x, y = get_batch(splits["train"], args.block, 32)
        logits = model(x)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
