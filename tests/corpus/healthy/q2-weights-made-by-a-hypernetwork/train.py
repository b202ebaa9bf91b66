"""A hypernetwork writes the weights of a small network for each wave described by (amplitude, frequency, phase)."""

import argparse
import math

import torch
from torch import nn

SHAPES = [(1, 12), (12,), (12, 12), (12,), (12, 1), (1,)]
COUNT = sum(math.prod(s) for s in SHAPES)


class Hyper(nn.Module):
    def __init__(self, d_task, hidden=64):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(d_task, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.writer = nn.Linear(hidden, COUNT)
        with torch.no_grad():
            self.writer.weight.mul_(0.1)
            self.writer.bias.copy_(
                torch.cat(
                    [(torch.randn(s) / math.sqrt(s[0]) if len(s) == 2 else torch.zeros(s)).flatten() for s in SHAPES]
                )
            )

    def forward(self, task, x):
        flat = self.writer(self.trunk(task))
        pieces, at = [], 0
        for s in SHAPES:
            n = math.prod(s)
            pieces.append(flat[:, at : at + n].reshape(-1, *s))
            at += n
        w1, b1, w2, b2, w3, b3 = pieces
        h = torch.tanh(torch.bmm(x, w1) + b1.unsqueeze(1))
        h = torch.tanh(torch.bmm(h, w2) + b2.unsqueeze(1))
        return torch.bmm(h, w3) + b3.unsqueeze(1)


def sample_tasks(n, points=24):
    task = torch.rand(n, 3) * 2 - 1
    amp, freq, phase = 1 + 0.5 * task[:, :1], 1.5 + 0.5 * task[:, 1:2], task[:, 2:]
    x = torch.rand(n, points) * 4 - 2
    y = amp * torch.sin(freq * x + phase)
    return task * 3**0.5, x.unsqueeze(-1), y.unsqueeze(-1)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--steps", type=int, default=1500)
    cli.add_argument("--tasks", type=int, default=32)
    args = cli.parse_args()
    torch.manual_seed(args.seed)
    hyper = Hyper(3)
    optimizer = torch.optim.Adam(hyper.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=args.steps)
    held_out = sample_tasks(200)
    mean_loss = 0.0
    for step in range(1, args.steps + 1):
        task, x, y = sample_tasks(args.tasks)
        loss = nn.functional.mse_loss(hyper(task, x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(hyper.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        mean_loss += loss.item() / 150
        if step % 150 == 0:
            with torch.no_grad():
                task, x, y = held_out
                val = nn.functional.mse_loss(hyper(task, x), y).item()
            print(f"step {step}: train {mean_loss:.4f}  unseen waves {val:.4f}")
            mean_loss = 0.0


if __name__ == "__main__":
    main()
