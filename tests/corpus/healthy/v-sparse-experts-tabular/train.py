"""Sparse mixture of experts on a piecewise regression problem."""

import argparse
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Args:
    seed: int
    epochs: int
    experts: int = 6
    top_k: int = 2
    batch: int = 50
    lr: float = 4e-3
    balance: float = 0.02


def make_data(n, gen):
    x = torch.randn(n, 6, generator=gen)
    region = (x[:, 0] > 0).long() * 2 + (x[:, 1] > 0).long()
    w = torch.randn(4, 6, generator=torch.Generator().manual_seed(99))
    y = (x * w[region]).sum(1) + region.float() * 0.5 + 0.1 * torch.randn(n, generator=gen)
    return x, y


class MoE(nn.Module):
    def __init__(self, d, n_experts, k, hidden=24):
        super().__init__()
        self.k = k
        self.gate = nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, n_experts))
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, 1)) for _ in range(n_experts)
        )

    def forward(self, x):
        scores = self.gate(x)
        top, idx = scores.topk(self.k, dim=1)
        weight = top.softmax(dim=1)
        out = x.new_zeros(len(x))
        for e, expert in enumerate(self.experts):
            rows, slot = (idx == e).nonzero(as_tuple=True)
            if len(rows):
                out = out.index_add(0, rows, weight[rows, slot] * expert(x[rows]).squeeze(1))
        prob = scores.softmax(dim=1)
        share = F.one_hot(idx, len(self.experts)).float().sum(1).mean(0) / self.k
        balance = len(self.experts) * (share * prob.mean(0)).sum()
        return out, balance, share


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    args = Args(**vars(parser.parse_args()))
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    xt, yt = make_data(2500, gen)
    xv, yv = make_data(600, gen)
    m, s = yt.mean(), yt.std()
    yt, yv = (yt - m) / s, (yv - m) / s

    model = MoE(6, args.experts, args.top_k)
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs, eta_min=1e-4)
    for epoch in range(args.epochs):
        model.train()
        fit_sum = bal_sum = 0.0
        parts = torch.randperm(len(xt)).split(args.batch)
        for idx in parts:
            pred, bal, _ = model(xt[idx])
            fit = F.mse_loss(pred, yt[idx])
            opt.zero_grad()
            (fit + args.balance * bal).backward()
            opt.step()
            fit_sum += fit.item()
            bal_sum += bal.item()
        sched.step()
        model.eval()
        with torch.no_grad():
            pred, _, share = model(xv)
            val = F.mse_loss(pred, yv).item()
        print(
            f"epoch {epoch + 1:2d} mse {fit_sum / len(parts):.4f} balance {bal_sum / len(parts):.3f} "
            f"val mse {val:.4f} load {[round(v, 2) for v in share.tolist()]}"
        )


if __name__ == "__main__":
    main()
