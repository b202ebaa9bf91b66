"""Implicit feedback: light graph convolution over the user-item graph, pairwise ranking loss."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def interactions(n_users, n_items, gen):
    taste = torch.randn(n_users, 4, generator=gen)
    kind = torch.randn(n_items, 4, generator=gen)
    score = taste @ kind.T + 0.5 * torch.randn(n_items, generator=gen)
    gumbel = -torch.log(-torch.log(torch.rand(n_users, n_items, generator=gen)))
    chosen = (2.0 * score + gumbel).topk(16, dim=1).indices
    chosen = chosen.gather(1, torch.rand(n_users, 16, generator=gen).argsort(1))
    return chosen[:, :12], chosen[:, 12:]


class LightGraph(nn.Module):
    def __init__(self, n_users, n_items, seen, dim, hops):
        super().__init__()
        self.n_users, self.hops = n_users, hops
        self.emb = nn.Parameter(0.1 * torch.randn(n_users + n_items, dim))
        u = torch.arange(n_users).repeat_interleave(seen.shape[1])
        i = seen.flatten() + n_users
        rows, cols = torch.cat([u, i]), torch.cat([i, u])
        n = n_users + n_items
        deg = torch.bincount(rows, minlength=n).clamp(min=1).float()
        val = (deg[rows] * deg[cols]).rsqrt()
        dense = torch.zeros(n, n)
        dense[rows, cols] = val
        self.register_buffer("adj", dense)

    def forward(self):
        layer, total = self.emb, self.emb
        for _ in range(self.hops):
            layer = self.adj @ layer
            total = total + layer
        return (total / (self.hops + 1)).split([self.n_users, len(self.emb) - self.n_users])


@torch.no_grad()
def recall_at(k, model, seen, held_out):
    users, items = model()
    scores = users @ items.T
    scores.scatter_(1, seen, float("-inf"))
    top = scores.topk(k, dim=1).indices
    hits = (top[:, :, None] == held_out[:, None, :]).any(1)
    return hits.float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--dim", type=int, default=16)
    ap.add_argument("--hops", type=int, default=2)
    ap.add_argument("--lr", type=float, default=0.02)
    ap.add_argument("--l2", type=float, default=1e-4)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed + 1)
    n_users, n_items = 240, 160
    seen, held_out = interactions(n_users, n_items, gen)
    known = torch.zeros(n_users, n_items, dtype=torch.bool).scatter_(1, seen, True)

    model = LightGraph(n_users, n_items, seen, args.dim, args.hops)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    user_of = torch.arange(n_users).repeat_interleave(seen.shape[1])
    item_of = seen.flatten()
    print(f"before training: recall@20 {recall_at(20, model, seen, held_out):.3f} (chance {20 / (n_items - 12):.3f})")
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for idx in torch.randperm(len(user_of)).split(64):
            u, pos = user_of[idx], item_of[idx]
            neg = torch.randint(n_items, (len(idx),))
            again = known[u, neg]
            while again.any():
                neg[again] = torch.randint(n_items, (int(again.sum()),))
                again = known[u, neg]
            users, items = model()
            margin = (users[u] * (items[pos] - items[neg])).sum(1)
            raw = (
                model.emb[u].pow(2).sum()
                + model.emb[n_users + pos].pow(2).sum()
                + model.emb[n_users + neg].pow(2).sum()
            )
            loss = -F.logsigmoid(margin).mean() + args.l2 * raw / len(idx)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        print(f"epoch {epoch:2d}  bpr {total / len(user_of):.4f}  recall@20 {recall_at(20, model, seen, held_out):.3f}")


if __name__ == "__main__":
    main()
