import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score


def blocks_graph(n, k, gen):
    group = torch.randint(0, k, (n,), generator=gen)
    p = torch.where(group[:, None] == group[None], 0.16, 0.006)
    upper = (torch.rand(n, n, generator=gen) < p).triu(1)
    edges = upper.nonzero()
    feats = F.one_hot(group, k).float() + 0.4 * torch.randn(n, k, generator=gen)
    return feats, edges[torch.randperm(len(edges), generator=gen)], upper


class Encoder(nn.Module):
    def __init__(self, n_in, hidden, dim):
        super().__init__()
        self.w1 = nn.Linear(n_in, hidden)
        self.w2 = nn.Linear(hidden, dim)

    def forward(self, x, a):
        return self.w2(a @ F.relu(self.w1(a @ x)))


def normalised(edges, n):
    a = torch.eye(n)
    a[edges[:, 0], edges[:, 1]] = 1
    a[edges[:, 1], edges[:, 0]] = 1
    d = a.sum(1).rsqrt()
    return d[:, None] * a * d[None]


def non_edges(count, n, known):
    pairs = torch.randint(0, n, (3 * count, 2))
    pairs = torch.stack([pairs.min(1).values, pairs.max(1).values], 1)
    ok = (pairs[:, 0] != pairs[:, 1]) & ~known[pairs[:, 0], pairs[:, 1]]
    return pairs[ok][:count]


def logits(z, pairs, bias):
    return (z[pairs[:, 0]] * z[pairs[:, 1]]).sum(1) + bias


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--steps", type=int, default=160)
    ap.add_argument("--dim", type=int, default=8)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    n = 400
    x, edges, known = blocks_graph(n, 6, torch.Generator().manual_seed(args.seed))
    cut = int(0.85 * len(edges))
    train_pos, val_pos = edges[:cut], edges[cut:]
    val_neg = non_edges(len(val_pos), n, known)
    a = normalised(train_pos, n)
    enc = Encoder(6, 32, args.dim)
    bias = nn.Parameter(torch.zeros(()))
    opt = torch.optim.Adam(list(enc.parameters()) + [bias], lr=5e-3, weight_decay=1e-4)
    for step in range(1, args.steps + 1):
        enc.train()
        neg = non_edges(len(train_pos), n, known)
        out = logits(enc(x, a), torch.cat([train_pos, neg]), bias)
        y = torch.cat([torch.ones(len(train_pos)), torch.zeros(len(neg))])
        loss = F.binary_cross_entropy_with_logits(out, y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 10 == 0:
            enc.eval()
            with torch.no_grad():
                z = enc(x, a)
                out = logits(z, torch.cat([val_pos, val_neg]), bias)
            y = torch.cat([torch.ones(len(val_pos)), torch.zeros(len(val_neg))])
            print(
                f"step {step:3d} train {loss.item():.4f} val {F.binary_cross_entropy_with_logits(out, y).item():.4f} "
                f"AUC {roc_auc_score(y.numpy(), out.numpy()):.4f}"
            )


if __name__ == "__main__":
    main()
