import argparse
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass
class Settings:
    seed: int = 0
    length: int = 40
    steps: int = 450
    batch: int = 48
    lr: float = 2e-3
    channels: list = field(default_factory=lambda: [16, 32])


def beats(n: int, length: int) -> tuple[Tensor, Tensor]:
    """Toy heart beats in millivolts: normal, early, wide."""
    kind = torch.randint(0, 3, (n,))
    t = torch.arange(length).float()
    centre = torch.where(kind == 1, 12.0, 20.0) + 2 * torch.randn(n)
    width = torch.where(kind == 2, 4.5, 1.6) * (1 + 0.15 * torch.randn(n))
    peak = 1.2 + 0.2 * torch.randn(n)
    signal = peak[:, None] * torch.exp(-0.5 * ((t - centre[:, None]) / width[:, None]) ** 2)
    signal = signal + 0.3 * torch.sin(t / 9 + 6.3 * torch.rand(n, 1)) + 0.05 * torch.randn(n, length)
    return signal.unsqueeze(-1), kind


class BeatNet(nn.Module):
    def __init__(self, length, channels):
        super().__init__()
        self.norm = nn.LayerNorm(1)
        c1, c2 = channels
        self.conv = nn.Sequential(
            nn.Conv1d(1, c1, 5, stride=2, padding=2), nn.ELU(), nn.Conv1d(c1, c2, 5, stride=2, padding=2), nn.ELU()
        )
        self.classify = nn.Linear(c2 * (length // 4), 3)

    def forward(self, x):
        x = self.norm(x).transpose(1, 2)
        return self.classify(self.conv(x).flatten(1))


def run(s: Settings):
    torch.manual_seed(s.seed)
    x, y = beats(2500, s.length)
    xv, yv = beats(500, s.length)
    net = BeatNet(s.length, s.channels)
    opt = torch.optim.NAdam(net.parameters(), lr=s.lr)
    ce = nn.CrossEntropyLoss()
    step, window = 0, []
    while step < s.steps:
        for idx in torch.randperm(len(x)).split(s.batch):
            loss = ce(net(x[idx]), y[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
            step += 1
            window.append(loss.item())
            if step % 50 == 0:
                net.eval()
                with torch.no_grad():
                    out = net(xv)
                net.train()
                print(
                    f"{step:5d}  train {sum(window) / len(window):.4f}  valid {ce(out, yv).item():.4f}"
                    f"  accuracy {(out.argmax(-1) == yv).float().mean().item():.3f}"
                )
                window = []
            if step >= s.steps:
                break


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--steps", type=int, default=450)
    a = cli.parse_args()
    run(Settings(seed=a.seed, steps=a.steps))
