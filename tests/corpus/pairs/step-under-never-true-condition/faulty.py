"""Denoising autoencoder on 8x8 digits with gradient accumulation for large effective batches."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--accumulate", type=int, default=2)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()

torch.manual_seed(args.seed)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
pixels = pixels[torch.randperm(len(pixels))]
train_loader = DataLoader(pixels[:1440], batch_size=args.batch_size, shuffle=True)
held_out = pixels[1440:]
noisy_held_out = held_out + 0.1 * torch.randn_like(held_out)

model = Autoencoder()
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
optimizer.zero_grad()

for epoch in range(args.epochs):
    model.train()
    running = 0.0
    for i, clean in enumerate(train_loader):
        noisy = clean + 0.1 * torch.randn_like(clean)
        loss = criterion(model(noisy), clean) / args.accumulate
        loss.backward()
        if (i + 1) % args.accumulate == args.accumulate:
            optimizer.step()
            optimizer.zero_grad()
        running += loss.item() * args.accumulate
    model.eval()
    with torch.no_grad():
        error = criterion(model(noisy_held_out), held_out).item()
    print(f"epoch {epoch + 1:2d}: train mse {running / len(train_loader):.5f}, held-out mse {error:.5f}")
