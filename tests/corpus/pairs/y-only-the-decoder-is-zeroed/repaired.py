"""A denoising autoencoder of two separate halves."""

import argparse
from itertools import chain

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=1200)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--lr", type=float, default=2e-3)
args = parser.parse_args()

torch.manual_seed(args.seed)
images = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1  # from -1 to 1
images = images[torch.randperm(len(images))]
train, held_out = images[:1500], images[1500:]

encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 20))
decoder = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh())
optimizer = torch.optim.Adam(chain(encoder.parameters(), decoder.parameters()), lr=args.lr)
criterion = nn.MSELoss()

step = 0
recent = []
while step < args.steps:
    rows = torch.randint(len(train), (args.batch_size,))
    clean = train[rows]
    noisy = clean + 0.2 * torch.randn_like(clean)
    restored = decoder(encoder(noisy))
    loss = criterion(restored, clean)

    encoder.zero_grad()
    decoder.zero_grad()
    loss.backward()
    optimizer.step()

    recent.append(loss.item())
    step += 1
    if step % 100 == 0:
        with torch.no_grad():
            val = criterion(decoder(encoder(held_out)), held_out).item()
        print(f"step {step:5d}  train {sum(recent) / len(recent):.4f}  held out {val:.4f}")
        recent.clear()
