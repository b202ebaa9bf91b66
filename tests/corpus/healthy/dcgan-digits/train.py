"""A small DCGAN on 8x8 digits."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--latent", type=int, default=16)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 8.0 - 1.0
loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True, drop_last=True)


class Generator(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.net = nn.Sequential(
            nn.ConvTranspose2d(latent, 64, 2, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(True),
            nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(True),
            nn.ConvTranspose2d(32, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.net(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, 32, 4, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(32, 1, 2, bias=False),
        )

    def forward(self, x):
        return self.net(x).flatten()


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


netG, netD = Generator(args.latent), Discriminator()
netG.apply(weights_init)
netD.apply(weights_init)
criterion = nn.BCEWithLogitsLoss()
optD = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
optG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))

for epoch in range(args.epochs):
    for (real,) in loader:
        n = real.size(0)
        netD.zero_grad()
        loss_real = criterion(netD(real), torch.full((n,), 0.9))
        loss_real.backward()
        noise = torch.randn(n, args.latent, 1, 1)
        fake = netG(noise)
        loss_fake = criterion(netD(fake.detach()), torch.zeros(n))
        loss_fake.backward()
        optD.step()

        netG.zero_grad()
        lossG = criterion(netD(fake), torch.ones(n))
        lossG.backward()
        optG.step()
    with torch.no_grad():
        sample = netG(torch.randn(256, args.latent, 1, 1))
    gap = (sample.mean(0) - images.mean(0)).abs().mean().item()
    lossD = loss_real.item() + loss_fake.item()
    print(f"epoch {epoch + 1}: D {lossD:.3f}  G {lossG.item():.3f}  gap of the mean image {gap:.3f}")
