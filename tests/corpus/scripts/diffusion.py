import argparse
import math

import torch
from fingerprint import leave
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("-T", "--timesteps", type=int, default=20)
parser.add_argument("--iters", type=int, default=30)
args = parser.parse_args()
torch.manual_seed(1)


def sinusoidal(t, dim=8):
    freqs = torch.exp(torch.arange(dim // 2) * -(math.log(1e4) / (dim // 2 - 1)))
    angles = t[:, None].float() * freqs[None]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(8, 16), nn.SiLU())
        self.inp, self.out = nn.Linear(2, 16), nn.Linear(16, 2)
        self.mid = nn.ModuleList([nn.Sequential(nn.GroupNorm(4, 16), nn.SiLU(), nn.Linear(16, 16)) for _ in range(2)])

    def forward(self, x, t):
        h = self.inp(x) + self.time(sinusoidal(t))
        for block in self.mid:
            h = h + block(h)
        return self.out(h)


class Diffusion:
    def __init__(self, model, timesteps):
        self.model, self.timesteps = model, timesteps
        self.betas = torch.linspace(1e-4, 0.2, timesteps)
        self.alphas = 1.0 - self.betas
        self.bars = torch.cumprod(self.alphas, 0)

    def loss(self, x):
        t = torch.randint(0, self.timesteps, (len(x),))
        noise = torch.randn_like(x)
        bar = self.bars[t, None]
        return F.mse_loss(self.model(bar.sqrt() * x + (1 - bar).sqrt() * noise, t), noise)

    @torch.inference_mode()
    def sample(self, n):
        x = torch.randn(n, 2)
        for t in reversed(range(self.timesteps)):
            eps = self.model(x, torch.full((n,), t))
            x = (x - self.betas[t] / (1 - self.bars[t]).sqrt() * eps) / self.alphas[t].sqrt()
            if t:
                x = x + self.betas[t].sqrt() * torch.randn_like(x)
        return x


def swiss_roll(n):
    t = 1.5 * math.pi * (1 + 2 * torch.rand(n))
    return torch.stack([t * t.cos(), t * t.sin()], 1) / 10


diffusion = Diffusion(Denoiser(), args.timesteps)
optimizer = torch.optim.AdamW(diffusion.model.parameters(), lr=2e-3)
ema = {k: v.clone() for k, v in diffusion.model.state_dict().items()}
for i in range(args.iters):
    loss = diffusion.loss(swiss_roll(64))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(diffusion.model.parameters(), 1.0, error_if_nonfinite=True)
    optimizer.step()
    for k, v in diffusion.model.state_dict().items():
        ema[k].lerp_(v, 0.1)
    if i % 10 == 0:
        diffusion.model.eval()
        print(i, repr(loss.item()), diffusion.sample(4).mean().item())
        diffusion.model.train()
leave(diffusion.model, optimizer, ema)
