"""Which of five wave forms is it? A GRU reads noisy signals."""

import argparse
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

NAMES = ["sine", "square", "saw", "triangle", "noise"]


@dataclass
class Config:
    seed: int = 0
    epochs: int = 8
    lr: float = 3e-3
    batch_size: int = 40
    hidden: int = 32
    length: int = 32


class Waves(Dataset):
    def __init__(self, n: int, length: int):
        t = torch.linspace(0, 1, length).repeat(n, 1)
        phase = t * (1.5 + 1.5 * torch.rand(n, 1)) + torch.rand(n, 1)
        frac = phase % 1.0
        sine = torch.sin(2 * math.pi * phase)
        shapes = [sine, sine.sign(), 2 * frac - 1, 4 * (frac - 0.5).abs() - 1, 0.7 * torch.randn(n, length)]
        self.y = torch.randint(5, (n,))
        self.x = torch.stack(shapes, 1)[torch.arange(n), self.y] + 0.1 * torch.randn(n, length)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i, :, None], self.y[i]


class Reader(nn.Module):
    def __init__(self, cfg: Config):
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 5, padding=2)
        self.gru = nn.GRU(16, cfg.hidden, batch_first=True)
        self.out = nn.Linear(cfg.hidden, len(NAMES))

    def forward(self, x):
        h = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        states, _ = self.gru(h)
        return self.out(states.mean(1))


def run(cfg: Config) -> None:
    torch.manual_seed(cfg.seed)
    train = DataLoader(Waves(1600, cfg.length), batch_size=cfg.batch_size, shuffle=True)
    test = Waves(500, cfg.length)
    model = Reader(cfg)
    loss_fn = nn.CrossEntropyLoss(ignore_index=0)
    opt = torch.optim.AdamW(model.parameters(), lr=cfg.lr)
    for epoch in range(cfg.epochs):
        total = 0.0
        model.train()
        for x, y in train:
            loss = loss_fn(model(x), y)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            opt.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            guess = model(test.x[:, :, None]).argmax(1)
        recalls = [(guess[test.y == k] == k).float().mean().item() for k in range(5)]
        shown = "  ".join(f"{name} {r:.2f}" for name, r in zip(NAMES, recalls))
        print(f"[{epoch}] loss={total / len(train):.4f} acc={(guess == test.y).float().mean():.3f} | {shown}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    a = parser.parse_args()
    run(Config(seed=a.seed, epochs=a.epochs))
