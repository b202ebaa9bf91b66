import argparse

import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def generator(z_dim, h):
    return nn.Sequential(nn.Linear(z_dim, h), nn.LeakyReLU(0.1), nn.Linear(h, h), nn.LeakyReLU(0.1), nn.Linear(h, 2))


def discriminator(h):
    return nn.Sequential(
        spectral_norm(nn.Linear(2, h)),
        nn.LeakyReLU(0.1),
        spectral_norm(nn.Linear(h, h)),
        nn.LeakyReLU(0.1),
        spectral_norm(nn.Linear(h, h)),
        nn.LeakyReLU(0.1),
        nn.Linear(h, 1),
    )


def endless(x, n):
    while True:
        for idx in torch.randperm(len(x)).split(n):
            if len(idx) == n:
                yield x[idx]


@torch.no_grad()
def coverage(gen, x, z_dim):
    """Share of fakes near some real point, and of real points near some fake one."""
    fake = gen(torch.randn(1000, z_dim))
    dist = torch.cdist(fake, x)
    return (dist.min(1).values < 0.2).float().mean().item(), (dist.min(0).values < 0.2).float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--steps", type=int, default=1000)
    ap.add_argument("--batch", type=int, default=128)
    ap.add_argument("--z", type=int, default=4)
    ap.add_argument("--hidden", type=int, default=64)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    pts, _ = make_moons(2000, noise=0.05, random_state=args.seed)
    x = torch.tensor(pts, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    real_batches = endless(x, args.batch)

    gen, dis = generator(args.z, args.hidden), discriminator(args.hidden)
    opt_g = torch.optim.Adam(gen.parameters(), lr=1e-3, betas=(0.0, 0.9))
    opt_d = torch.optim.Adam(dis.parameters(), lr=4e-3, betas=(0.0, 0.9))

    d_sum = g_sum = 0.0
    for step in range(1, args.steps + 1):
        real = next(real_batches)
        fake = gen(torch.randn(args.batch, args.z))
        d_loss = torch.relu(1 - dis(real)).mean() + torch.relu(1 + dis(fake.detach())).mean()
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()

        g_loss = -dis(fake).mean()
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()

        d_sum, g_sum = d_sum + d_loss.item(), g_sum + g_loss.item()
        if step % 100 == 0:
            prec, rec = coverage(gen, x, args.z)
            print(f"step {step}: D {d_sum / 100:.3f}  G {g_sum / 100:+.3f}  near real {prec:.2f}  covered {rec:.2f}")
            d_sum = g_sum = 0.0


if __name__ == "__main__":
    main()
