import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description="digits autoencoder")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--code", type=int, default=16)
args = parser.parse_args()
torch.manual_seed(args.seed)

pixels = load_digits().data.astype(np.float32)
tr, va = train_test_split(pixels, test_size=0.25, random_state=args.seed)
mu, sd = tr.mean(), tr.std()
tr = torch.from_numpy((tr - mu) / sd)
va = torch.from_numpy((va - mu) / sd)
train_dl = DataLoader(TensorDataset(tr), batch_size=32, shuffle=True)
val_dl = DataLoader(TensorDataset(va), batch_size=256)


class AutoEncoder(nn.Module):
    def __init__(self, code):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, code))
        self.dec = nn.Sequential(nn.Linear(code, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        return self.dec(self.enc(x))


def reconstruction_loss(out, x):
    return F.mse_loss(out, x)


ae = AutoEncoder(args.code)
optim = torch.optim.Adam(ae.parameters(), lr=2e-3)

for epoch in range(1, args.epochs + 1):
    ae.train()
    total = 0.0
    for (xb,) in train_dl:
        loss = reconstruction_loss(ae(xb), xb)
        optim.zero_grad()
        loss.backward()
        optim.step()
        total += loss.item() * len(xb)
    ae.eval()
    vtotal = 0.0
    with torch.no_grad():
        for (xb,) in val_dl:
            vtotal += reconstruction_loss(ae(xb), xb).item() * len(xb)
    print("epoch %2d | train %.4f | val %.4f" % (epoch, total / len(tr), vtotal / len(va)))

with torch.no_grad():
    err = (ae(va) - va).abs().mean().item()
print("mean absolute pixel error on validation: %.3f" % err)
