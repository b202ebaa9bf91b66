"""Gesture recognition from accelerometer-like windows, 1-d CNN."""

import argparse

import numpy as np
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


def simulate(n, rng, steps=40):
    """Six gestures: each axis moves with a frequency and a phase of its own."""
    label = rng.integers(0, 6, n)
    t = np.linspace(0, 2 * np.pi, steps)
    freq = np.array([[1, 1, 2], [2, 1, 1], [1, 2, 1], [1, 1, 1], [2, 2, 1], [1, 2, 2]])[label]
    phase = rng.uniform(-0.6, 0.6, (n, 3))
    signal = np.sin(freq[:, :, None] * t + phase[:, :, None]) * rng.uniform(0.7, 1.3, (n, 3, 1))
    signal += rng.normal(0, 0.7, signal.shape)
    return TensorDataset(torch.from_numpy(signal).float(), torch.from_numpy(label))


def build():
    return nn.Sequential(
        nn.Conv1d(3, 16, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv1d(16, 32, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
        nn.Linear(64, 6),
    )


def epoch_pass(net, loader, loss_fn, opt=None):
    net.train(opt is not None)
    loss_sum = hits = 0
    with torch.set_grad_enabled(opt is not None):
        for x, y in loader:
            out = net(x)
            loss = loss_fn(out, y)
            if opt is not None:
                opt.zero_grad()
                loss.backward()
                opt.step()
            loss_sum += loss.item() * len(y)
            hits += int((out.argmax(1) == y).sum())
    return loss_sum / len(loader.dataset), hits / len(loader.dataset)


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--lr", type=float, default=0.03)
    args = cli.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train_dl = DataLoader(simulate(1800, rng), batch_size=64, shuffle=True)
    val_dl = DataLoader(simulate(500, rng), batch_size=250)
    net, loss_fn = build(), nn.CrossEntropyLoss()
    opt = optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.StepLR(opt, step_size=10, gamma=0.1)
    for epoch in range(args.epochs):
        tl, ta = epoch_pass(net, train_dl, loss_fn, opt)
        vl, va = epoch_pass(net, val_dl, loss_fn)
        print(f"{epoch:02d} lr={scheduler.get_last_lr()[0]:.1e} train {tl:.3f}/{ta:.3f} val {vl:.3f}/{va:.3f}")
        scheduler.step()
