import argparse
import math

import torch
import torch.nn as nn


class Denoiser(nn.Module):
    """Predicts the noise of a wave with dilated convolutions and subtracts it."""

    def __init__(self, channels=24, depth=4):
        super().__init__()
        self.start = nn.Conv1d(1, channels, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, 3, padding=2**i, dilation=2**i) for i in range(depth)
        )
        self.end = nn.Conv1d(channels, 1, 1)

    def forward(self, x):
        h = self.start(x)
        for layer in self.layers:
            value, gate = layer(h).chunk(2, dim=1)
            h = h + torch.tanh(value) * torch.sigmoid(gate)
        return x - self.end(h)


def chords(n, length=96):
    """Two tones each; returned clean."""
    t = torch.arange(length) / length
    wave = 0
    for _ in range(2):
        freq, phase = 2 + 6 * torch.rand(n, 1), 2 * math.pi * torch.rand(n, 1)
        wave = wave + (0.4 + 0.4 * torch.rand(n, 1)) * torch.sin(2 * math.pi * freq * t + phase)
    return wave[:, None]


def snr(clean, other):
    return 10 * torch.log10(clean.pow(2).mean() / (clean - other).pow(2).mean()).item()


p = argparse.ArgumentParser()
p.add_argument("--seed", type=int, default=0)
p.add_argument("--steps", type=int, default=250)
a = p.parse_args()
torch.manual_seed(a.seed)

model = Denoiser()
opt = torch.optim.AdamW(model.parameters(), lr=3e-3)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=a.steps)
test_clean = chords(200)
test_noisy = test_clean + 0.4 * torch.randn_like(test_clean)
print(f"before: {snr(test_clean, test_noisy):.2f} dB")
for step in range(1, a.steps + 1):
    clean = chords(24)
    noisy = clean + 0.4 * torch.randn_like(clean)
    loss = nn.functional.l1_loss(model(noisy), clean)
    opt.zero_grad()
    loss.backward()
    opt.step()
    sched.step()
    if step % 25 == 0:
        with torch.no_grad():
            print(f"step {step}: l1 {loss.item():.4f}, test {snr(test_clean, model(test_noisy)):.2f} dB")
