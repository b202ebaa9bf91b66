"""Denoising diffusion on a 2-D spiral, with an exponential moving average of the weights for sampling."""

import argparse
import copy
import math

import torch
from torch import nn


def spiral(n):
    t = torch.rand(n).sqrt() * 3 * math.pi
    x = torch.stack([t.cos() * t, t.sin() * t], dim=1) / (3 * math.pi)
    return 2 * (x + 0.02 * torch.randn(n, 2))


class TimeEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.register_buffer("freq", torch.exp(-math.log(1000) * torch.arange(dim // 2) / (dim // 2)))

    def forward(self, t):
        a = t[:, None].float() * self.freq
        return torch.cat([a.sin(), a.cos()], dim=1)


class Denoiser(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.time = nn.Sequential(TimeEmbedding(32), nn.Linear(32, hidden), nn.SiLU())
        self.inp = nn.Linear(2, hidden)
        self.mid = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(2))
        self.out = nn.Linear(hidden, 2)

    def forward(self, x, t):
        h = self.inp(x) + self.time(t)
        for layer in self.mid:
            h = h + layer(torch.nn.functional.silu(h))
        return self.out(h)


class Diffusion:
    def __init__(self, steps=60):
        self.steps = steps
        self.betas = torch.linspace(1e-3, 0.1, steps)
        self.alphas = 1 - self.betas
        self.bar = self.alphas.cumprod(0)

    def add_noise(self, x0, t, noise):
        bar = self.bar[t][:, None]
        return bar.sqrt() * x0 + (1 - bar).sqrt() * noise

    @torch.no_grad()
    def sample(self, model, n):
        x = torch.randn(n, 2)
        for t in reversed(range(self.steps)):
            eps = model(x, torch.full((n,), t))
            x = (x - self.betas[t] / (1 - self.bar[t]).sqrt() * eps) / self.alphas[t].sqrt()
            if t:
                x = x + self.betas[t].sqrt() * torch.randn_like(x)
        return x


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data = spiral(4096)
    model, diffusion = Denoiser(), Diffusion()
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        losses = []
        for x0 in data[torch.randperm(len(data))].split(128):
            t = torch.randint(diffusion.steps, (len(x0),))
            noise = torch.randn_like(x0)
            loss = nn.functional.mse_loss(model(diffusion.add_noise(x0, t, noise), t), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for e, p in zip(ema.parameters(), model.parameters()):
                    e.lerp_(p, 0.02)
            losses.append(loss.item())
        if (epoch + 1) % 5 == 0:
            samples = diffusion.sample(ema, 500)
            near = torch.cdist(samples, data).min(1).values.mean()
            print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.4f}, distance of samples to data {near:.3f}")


main()
