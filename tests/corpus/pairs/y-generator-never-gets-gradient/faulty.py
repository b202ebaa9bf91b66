"""A GAN learns a tilted two-dimensional Gaussian."""

import argparse

import torch
import torch.nn as nn

MEAN = torch.tensor([1.0, -0.5])
MIX = torch.tensor([[0.8, 0.0], [0.5, 0.4]])


def real_batch(n):
    return MEAN + torch.randn(n, 2) @ MIX.t()


def mlp(i, o):
    return nn.Sequential(nn.Linear(i, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, o))


class GAN:
    def __init__(self, lr, noise=4):
        self.noise = noise
        self.G, self.D = mlp(noise, 2), mlp(2, 1)
        self.opt_g = torch.optim.Adam(self.G.parameters(), lr=lr, betas=(0.5, 0.999))
        self.opt_d = torch.optim.Adam(self.D.parameters(), lr=lr, betas=(0.5, 0.999))
        self.bce = nn.BCEWithLogitsLoss()

    def train_step(self, n):
        ones, zeros = torch.ones(n, 1), torch.zeros(n, 1)
        fake = self.G(torch.randn(n, self.noise)).detach()

        self.opt_d.zero_grad()
        loss_d = self.bce(self.D(real_batch(n)), 0.9 * ones) + self.bce(self.D(fake), zeros)
        loss_d.backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        loss_g = self.bce(self.D(fake), ones)
        loss_g.backward()
        self.opt_g.step()
        return loss_d.item(), loss_g.item()

    @torch.no_grad()
    def distance(self, n=4000):
        """How far mean and covariance of what is made are from the truth."""
        made = self.G(torch.randn(n, self.noise))
        return (made.mean(0) - MEAN).norm().item(), (torch.cov(made.t()) - MIX @ MIX.t()).norm().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=900)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gan = GAN(args.lr)
    for i in range(1, args.iterations + 1):
        d, g = gan.train_step(128)
        if i % 100 == 0:
            off_mean, off_cov = gan.distance()
            print(f"[{i}/{args.iterations}] D {d:.3f} G {g:.3f}  off: mean {off_mean:.3f}, covariance {off_cov:.3f}")
