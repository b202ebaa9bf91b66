"""Implicit-feedback matrix factorisation with sparse gradients and sampled negatives."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class MF(nn.Module):
    def __init__(self, n_users, n_items, dim=16):
        super().__init__()
        self.users = nn.Embedding(n_users, dim, sparse=True)
        self.items = nn.Embedding(n_items, dim, sparse=True)
        self.item_bias = nn.Embedding(n_items, 1, sparse=True)
        nn.init.normal_(self.users.weight, std=0.1)
        nn.init.normal_(self.items.weight, std=0.1)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, u, i):
        return (self.users(u) * self.items(i)).sum(-1) + self.item_bias(i).squeeze(-1)


def make_interactions(n_users, n_items, per_user, generator):
    taste = torch.randn(n_users, 6, generator=generator)
    style = torch.randn(n_items, 6, generator=generator)
    scores = taste @ style.t() + 0.5 * torch.randn(n_users, n_items, generator=generator)
    return scores.topk(per_user, dim=1).indices


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--negatives", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    n_users, n_items, per_user = 600, 300, 22
    liked = make_interactions(n_users, n_items, per_user, torch.Generator().manual_seed(args.seed))
    liked = liked.gather(1, torch.rand(liked.shape).argsort(1))
    train, held_out = liked[:, :-2], liked[:, -2:]
    pairs = torch.stack([torch.arange(n_users).repeat_interleave(per_user - 2), train.flatten()], dim=1)

    model = MF(n_users, n_items)
    optimizer = torch.optim.SparseAdam(model.parameters(), lr=5e-3)
    for epoch in range(args.epochs):
        total, batches = 0.0, 0
        for batch in pairs[torch.randperm(len(pairs))].split(256):
            u, pos = batch.unbind(1)
            neg = torch.randint(n_items, (len(u), args.negatives))
            logits = torch.cat([model(u, pos)[:, None], model(u[:, None], neg)], dim=1)
            labels = torch.zeros_like(logits)
            labels[:, 0] = 1.0
            loss = F.binary_cross_entropy_with_logits(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, batches = total + loss.item(), batches + 1
        with torch.no_grad():
            everyone = torch.arange(n_users)[:, None]
            scores = model(everyone, torch.arange(n_items)[None])
            scores.scatter_(1, train, float("-inf"))
            top = scores.topk(20, dim=1).indices
            hits = (top[:, :, None] == held_out[:, None, :]).any(1).float().mean().item()
        print(f"epoch {epoch + 1}: bce {total / batches:.4f}  recall@20 {hits:.4f}")


if __name__ == "__main__":
    main()
