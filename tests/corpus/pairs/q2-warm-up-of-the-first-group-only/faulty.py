"""Does the bracket string balance?  A GRU with separate learning rates for head and body."""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class BracketNet(nn.Module):
    def __init__(self, dim=16, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(2, dim)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, tokens):
        _, h = self.gru(self.embed(tokens))
        return self.head(h[-1]).squeeze(-1)


def strings(n, length, gen):
    """Half of the walks never go below zero before the end; label them by whether they do."""
    good, bad = [], []
    while min(len(good), len(bad)) < n // 2:
        t = torch.randint(0, 2, (4 * n, length), generator=gen)
        lowest = (1 - 2 * t).cumsum(1).min(1).values
        good += list(t[lowest >= 0])
        bad += list(t[lowest < 0])
    x = torch.stack(good[: n // 2] + bad[: n // 2])
    y = torch.cat([torch.ones(n // 2), torch.zeros(n // 2)])
    p = torch.randperm(n, generator=gen)
    return x[p], y[p]


def set_warmup(optimizer, peaks, step, warmup):
    scale = min(1.0, step / warmup)
    optimizer.param_groups[0]["lr"] = scale * peaks[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--lr-head", type=float, default=5e-3)
    parser.add_argument("--lr-body", type=float, default=5e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    x, y = strings(4000, 10, gen)
    xv, yv = x[3400:], y[3400:]
    x, y = x[:3400], y[:3400]

    net = BracketNet()
    body = list(net.embed.parameters()) + list(net.gru.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": net.head.parameters()},
            {"params": body},
        ],
        lr=0.0,
        weight_decay=1e-4,
    )
    peaks = [args.lr_head, args.lr_body]

    recent = []
    for step in range(1, args.steps + 1):
        set_warmup(optimizer, peaks, step, args.warmup)
        idx = torch.randint(0, len(x), (64,))
        loss = F.binary_cross_entropy_with_logits(net(x[idx]), y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent.append(loss.item())
        if step % 50 == 0:
            net.eval()
            with torch.no_grad():
                z = net(xv)
                val = F.binary_cross_entropy_with_logits(z, yv).item()
                acc = ((z > 0) == (yv > 0.5)).float().mean().item()
            net.train()
            print(
                f"step {step:4d}  lr {optimizer.param_groups[0]['lr']:.4f}  "
                f"loss {sum(recent) / len(recent):.4f}  val {val:.4f}  acc {acc:.3f}"
            )
            recent.clear()


if __name__ == "__main__":
    main()
