"""Crops from spectral bands: join the annotators' answers to the measurements and fit a small net."""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass
class Config:
    seed: int = 0
    epochs: int = 15
    batch: int = 50
    lr: float = 3e-3
    hidden: int = 48


def measurements(rng, n=2400, bands=10, crops=6):
    crop = rng.integers(0, crops, n)
    centre = rng.normal(0, 1.4, (crops, bands))
    spectra = centre[crop] + rng.normal(0, 0.7, (n, bands))
    return spectra, crop


def annotation_sheet(rng, crop):
    """(plot id, answer) rows; the first annotator went plot by plot, the second picked plots at will."""
    n = len(crop)
    first = np.arange(int(0.35 * n))
    second = rng.permutation(np.arange(len(first), n))
    ids = np.concatenate([first, second])
    return ids, crop[ids]


def load(cfg):
    rng = np.random.default_rng(cfg.seed + 7)
    spectra, crop = measurements(rng)
    ids, answers = annotation_sheet(rng, crop)
    labels = answers
    order = rng.permutation(len(labels))
    spectra, labels = spectra[order], labels[order]
    cut = 1900
    mean, std = spectra[:cut].mean(0), spectra[:cut].std(0)
    x = torch.tensor((spectra - mean) / std, dtype=torch.float32)
    y = torch.tensor(labels)
    return x[:cut], y[:cut], x[cut:], y[cut:]


def batches(n, size):
    for idx in torch.randperm(n).split(size):
        yield idx


def main(cfg):
    torch.manual_seed(cfg.seed)
    x, y, xv, yv = load(cfg)
    model = nn.Sequential(nn.Linear(x.shape[1], cfg.hidden), nn.GELU(), nn.Linear(cfg.hidden, 6))
    optimiser = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=1e-3)
    for epoch in range(cfg.epochs):
        losses = []
        for idx in batches(len(x), cfg.batch):
            loss = nn.functional.cross_entropy(model(x[idx]), y[idx])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        with torch.no_grad():
            out = model(xv)
        val = nn.functional.cross_entropy(out, yv).item()
        acc = (out.argmax(1) == yv).float().mean().item()
        print(f"[{epoch + 1:02d}/{cfg.epochs}] loss {np.mean(losses):.3f} val {val:.3f} acc {acc:.1%}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=15)
    ns = ap.parse_args()
    main(Config(seed=ns.seed, epochs=ns.epochs))
