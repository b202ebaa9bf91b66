import argparse
import math

import torch
from torch import nn


def ring(n):
    angle = torch.rand(n) * 2 * math.pi
    radius = 1.5 + 0.1 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def network(n_in, n_out, hidden=48):
    return nn.Sequential(
        nn.Linear(n_in, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, n_out),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--latent", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator, discriminator = network(args.latent, 2), network(2, 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(args.batch_size, 1), torch.zeros(args.batch_size, 1)
    for step in range(1, args.steps + 1):
        real = ring(args.batch_size)
        fake = generator(torch.randn(args.batch_size, args.latent))

        d_optimizer.zero_grad()
        d_loss = criterion(discriminator(real), ones) + criterion(discriminator(fake.detach()), zeros)
        d_loss.backward()
        d_optimizer.step()

        g_optimizer.zero_grad()
        g_loss = criterion(discriminator(fake), ones)
        g_loss.backward()
        g_optimizer.step()

        if step % 70 == 0:
            with torch.no_grad():
                radius = generator(torch.randn(1000, args.latent)).norm(dim=1)
            print(f"step {step}: D {d_loss.item():.3f} G {g_loss.item():.3f}", end="  ")
            print(f"radius {radius.mean():.2f} +- {radius.std():.2f} (real 1.50 +- 0.10)")


if __name__ == "__main__":
    main()
