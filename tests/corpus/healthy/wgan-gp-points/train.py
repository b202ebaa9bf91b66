"""WGAN-GP on a ring of eight Gaussians."""

import argparse
import math

import torch
from torch import autograd, nn, optim


def real_batch(n):
    angle = torch.randint(0, 8, (n,)) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(n, 2)


def mlp(n_in, n_out, hidden=64):
    return nn.Sequential(
        nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_out)
    )


def gradient_penalty(critic, real, fake):
    alpha = torch.rand(real.size(0), 1)
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    (grad,) = autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return ((grad.norm(2, dim=1) - 1) ** 2).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=220)
    parser.add_argument("--n-critic", type=int, default=5)
    parser.add_argument("--gp-weight", type=float, default=1.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    generator, critic = mlp(2, 2), mlp(2, 1)
    opt_g = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_c = optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))

    for it in range(1, args.iterations + 1):
        for _ in range(args.n_critic):
            real = real_batch(128)
            with torch.no_grad():
                fake = generator(torch.randn(128, 2))
            wasserstein = critic(real).mean() - critic(fake).mean()
            loss_c = -wasserstein + args.gp_weight * gradient_penalty(critic, real, fake)
            opt_c.zero_grad()
            loss_c.backward()
            opt_c.step()

        loss_g = -critic(generator(torch.randn(128, 2))).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()

        if it % 20 == 0:
            with torch.no_grad():
                radius = generator(torch.randn(1000, 2)).norm(dim=1)
            print(f"{it:4d}  W {wasserstein.item():+.3f}  G {loss_g.item():+.3f}  radius {radius.mean():.2f}")


if __name__ == "__main__":
    main()
