"""Two moons with a self-written momentum optimizer."""

import argparse
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn


class MomentumSGD(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(p)
                v = state["velocity"]
                v.mul_(group["momentum"]).add_(p.grad)
                p.add_(v, alpha=-group["lr"])


@dataclass
class Config:
    seed: int = 0
    epochs: int = 25
    lr: float = 0.05
    momentum: float = 0.9
    batch: int = 32
    hidden: int = 24


def batches(x, y, size):
    order = torch.randperm(len(x))
    for chunk in order.split(size):
        yield x[chunk], y[chunk]


def run(cfg):
    torch.manual_seed(cfg.seed)
    x, y = make_moons(1200, noise=0.18, random_state=cfg.seed)
    xtr, xte, ytr, yte = train_test_split(x, y, test_size=0.25, random_state=cfg.seed, stratify=y)
    mu, sd = xtr.mean(0), xtr.std(0)
    xtr = torch.tensor((xtr - mu) / sd, dtype=torch.float32)
    xte = torch.tensor((xte - mu) / sd, dtype=torch.float32)
    ytr, yte = torch.tensor(ytr), torch.tensor(yte)

    net = nn.Sequential(
        nn.Linear(2, cfg.hidden), nn.Tanh(), nn.Linear(cfg.hidden, cfg.hidden), nn.Tanh(), nn.Linear(cfg.hidden, 2)
    )
    optimizer = MomentumSGD(net.parameters(), lr=cfg.lr, momentum=cfg.momentum)
    for epoch in range(cfg.epochs):
        losses = []
        for xb, yb in batches(xtr, ytr, cfg.batch):
            loss = F.cross_entropy(net(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            logits = net(xte)
        acc = accuracy_score(yte, logits.argmax(1))
        print(
            f"[{epoch:02d}] loss={sum(losses) / len(losses):.4f} "
            f"val_loss={F.cross_entropy(logits, yte).item():.4f} val_acc={acc:.3f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, default in vars(Config()).items():
        parser.add_argument("--" + name, type=type(default), default=default)
    run(Config(**vars(parser.parse_args())))
