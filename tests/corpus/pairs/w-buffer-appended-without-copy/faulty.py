import argparse
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Audio:
    rate: int = 2000
    length: int = 400
    ratios: tuple = (1.0, 5 / 4, 3 / 2, 2.0)
    noise: float = 0.2


class Synth:
    def __init__(self, cfg, seed):
        self.cfg = cfg
        self.rng = np.random.default_rng(seed)
        self.t = np.arange(cfg.length) / cfg.rate
        self.buffer = np.empty(cfg.length, dtype=np.float32)

    def render(self, interval):
        root = self.rng.uniform(110, 220)
        ph = self.rng.uniform(0, 2 * np.pi, 2)
        self.buffer[:] = 0.5 * np.sin(2 * np.pi * root * self.t + ph[0])
        self.buffer += 0.5 * np.sin(2 * np.pi * root * self.cfg.ratios[interval] * self.t + ph[1])
        self.buffer += self.cfg.noise * self.rng.standard_normal(self.cfg.length)
        return self.buffer


def build(n, cfg, seed):
    synth = Synth(cfg, seed)
    clips, labels = [], []
    for _ in range(n):
        k = int(synth.rng.integers(len(cfg.ratios)))
        clips.append(synth.render(k))
        labels.append(k)
    return TensorDataset(torch.tensor(np.stack(clips)), torch.tensor(labels))


class IntervalNet(nn.Module):
    """Log magnitude spectrogram followed by a small convolution net."""

    def __init__(self, n_classes):
        super().__init__()
        self.register_buffer("window", torch.hann_window(200))
        self.net = nn.Sequential(
            nn.BatchNorm2d(1),
            nn.Conv2d(1, 16, (9, 3), padding=(4, 1)),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
            nn.Conv2d(16, 32, (9, 3), padding=(4, 1)),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((10, 1)),
            nn.Flatten(),
            nn.Linear(320, 64),
            nn.ReLU(),
            nn.Linear(64, n_classes),
        )

    def forward(self, wave):
        spec = torch.stft(wave, 200, hop_length=100, window=self.window, center=False, return_complex=True)
        return self.net(torch.log1p(spec.abs()[:, 5:65]).unsqueeze(1))


def loop(model, loader, loss_fn, opt=None):
    model.train() if opt else model.eval()
    loss_sum = hits = 0
    for wave, label in loader:
        with torch.set_grad_enabled(opt is not None):
            out = model(wave)
            loss = loss_fn(out, label)
        if opt:
            opt.zero_grad()
            loss.backward()
            opt.step()
        loss_sum += loss.item() * len(label)
        hits += (out.argmax(1) == label).sum().item()
    return loss_sum / len(loader.dataset), hits / len(loader.dataset)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    cfg = Audio()
    train = DataLoader(build(1200, cfg, args.seed), batch_size=32, shuffle=True)
    val = DataLoader(build(300, cfg, args.seed + 100), batch_size=100)
    model = IntervalNet(len(cfg.ratios))
    opt = torch.optim.NAdam(model.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        tl, ta = loop(model, train, nn.CrossEntropyLoss(), opt)
        vl, va = loop(model, val, nn.CrossEntropyLoss())
        print(f"epoch {epoch + 1:2d}  train {tl:.3f} / {ta:.3f}   val {vl:.3f} / {va:.3f}")
