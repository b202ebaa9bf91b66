import argparse

import torch
import torch.nn.functional as F
from torch import nn

VOCAB, MARK, LENGTH = 9, 8, 16


def make_batch(n, gen):
    """Tokens 0-7; after the marker comes the token that has to be recalled at the end."""
    x = torch.randint(0, 8, (n, LENGTH), generator=gen)
    at = torch.randint(0, LENGTH - 2, (n,), generator=gen)
    rows = torch.arange(n)
    x[rows, at] = MARK
    return x, x[rows, at + 1]


class Recall(nn.Module):
    def __init__(self, emb=24, hidden=64):
        super().__init__()
        self.emb = nn.Embedding(VOCAB, emb)
        self.rnn = nn.GRU(emb, hidden, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, 8)

    def forward(self, x):
        _, h = self.rnn(self.emb(x))
        return self.out(self.norm(h[-1]))


def param_groups(model, wd):
    named = list(model.named_parameters())
    decay = [p for n, p in named if n.endswith(".weight")]
    no_decay = [p for n, p in named if n.endswith(".bias")]
    return [{"params": decay, "weight_decay": wd}, {"params": no_decay, "weight_decay": 0.0}]


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--max-steps", type=int, default=500)
    ap.add_argument("--batch", type=int, default=64)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--wd", type=float, default=0.01)
    args = ap.parse_args()

    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed + 1)
    held_x, held_y = make_batch(1000, torch.Generator().manual_seed(12345))

    model = Recall()
    opt = torch.optim.AdamW(param_groups(model, args.wd), lr=args.lr)

    step, running = 0, 0.0
    while step < args.max_steps:
        model.train()
        x, y = make_batch(args.batch, gen)
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        opt.step()
        running += loss.item()
        step += 1
        if step % 50 == 0:
            model.eval()
            with torch.no_grad():
                logits = model(held_x)
                vl = F.cross_entropy(logits, held_y).item()
                acc = (logits.argmax(1) == held_y).float().mean().item()
            print(f"step {step:5d}  train {running / 50:.3f}  held-out {vl:.3f}  acc {acc:.3f}")
            running = 0.0
