import argparse
from itertools import chain

import torch
import torch.nn as nn
from sklearn.datasets import make_moons


def mlp(sizes, slope=0.2):
    layers = [(nn.Linear(a, b), nn.LeakyReLU(slope)) for a, b in zip(sizes, sizes[1:])]
    return nn.Sequential(*chain(*layers))[:-1]


def coverage(real, fake, radius=0.25):
    """Share of real points with a fake one near, and of fake points with a real one near."""
    d = torch.cdist(real, fake)
    return (d.min(1).values < radius).float().mean().item(), (d.min(0).values < radius).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--latent", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    moons, _ = make_moons(4000, noise=0.05, random_state=args.seed)
    moons = torch.tensor(moons, dtype=torch.float32)
    moons = (moons - moons.mean(0)) / moons.std(0)

    generator = mlp([args.latent, 48, 48, 2])
    discriminator = mlp([2, 48, 48, 1])
    g_opt = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    d_opt = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    mse = nn.MSELoss()
    one, zero = torch.ones(args.batch_size, 1), torch.zeros(args.batch_size, 1)

    for step in range(1, args.steps + 1):
        real = moons[torch.randint(0, len(moons), (args.batch_size,))]
        fake = generator(torch.randn(args.batch_size, args.latent))
        d_loss = 0.5 * (mse(discriminator(real), one) + mse(discriminator(fake.detach()), zero))
        d_opt.zero_grad()
        d_loss.backward()
        d_opt.step()

        g_loss = 0.5 * mse(discriminator(fake), one)
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()

        if step % 200 == 0:
            with torch.no_grad():
                sample = generator(torch.randn(1000, args.latent))
            covered, plausible = coverage(moons[:1000], sample)
            print(f"{step:5d} d {d_loss:.3f} g {g_loss:.3f} covered {covered:.2f} plausible {plausible:.2f}")


if __name__ == "__main__":
    main()
