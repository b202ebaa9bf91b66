"""Energy-based model on a mixture of Gaussians, negatives by short-run Langevin with a replay buffer."""

import argparse
import math

import torch
import torch.nn as nn


def sample_data(n):
    k = torch.randint(0, 4, (n,)).float()
    angle = math.pi / 4 + k * math.pi / 2
    centers = torch.stack([angle.cos(), angle.sin()], 1) * 1.5
    return centers + 0.35 * torch.randn(n, 2)


class Energy(nn.Module):
    def __init__(self, h=64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, h), nn.SiLU(), nn.Linear(h, h), nn.SiLU(), nn.Linear(h, 1))

    def forward(self, x):
        return self.net(x).squeeze(1) + 0.05 * x.pow(2).sum(1)


def langevin(energy, x, steps=20, step_size=0.02):
    for p in energy.parameters():
        p.requires_grad_(False)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(energy(x).sum(), x)
        x = x - step_size * g + math.sqrt(2 * step_size) * torch.randn_like(x)
    for p in energy.parameters():
        p.requires_grad_(True)
    return x.detach()


def mmd(a, b, widths=(0.2, 0.5, 1.0)):
    k = lambda u, v: sum(torch.exp(-(torch.cdist(u, v) ** 2) / (2 * w * w)) for w in widths).mean()
    return (k(a, a) + k(b, b) - 2 * k(a, b)).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    energy = Energy()
    opt = torch.optim.Adam(energy.parameters(), lr=args.lr, betas=(0.5, 0.9))
    sched = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.8)
    buffer = torch.rand(2000, 2) * 6 - 3
    test = sample_data(1000)
    for step in range(1, args.steps + 1):
        idx = torch.randint(0, len(buffer), (args.batch,))
        start = buffer[idx].clone()
        fresh = torch.rand(args.batch) < 0.05
        start[fresh] = torch.rand(int(fresh.sum()), 2) * 6 - 3
        neg = langevin(energy, start)
        buffer[idx] = neg

        pos = sample_data(args.batch)
        e_pos, e_neg = energy(pos), energy(neg)
        loss = e_pos.mean() - e_neg.mean() + 0.02 * (e_pos**2 + e_neg**2).mean()
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(energy.parameters(), 5.0)
        opt.step()
        if step % 50 == 0:
            sched.step()
            print(
                f"step {step:4d} loss {loss.item():+.3f} E(data) {e_pos.mean().item():+.2f} "
                f"E(samples) {e_neg.mean().item():+.2f} mmd {mmd(buffer[:1000], test):.4f}"
            )


if __name__ == "__main__":
    main()
