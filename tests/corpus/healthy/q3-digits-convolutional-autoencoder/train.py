import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, random_split


class ConvAutoencoder(nn.Module):
    def __init__(self, code=10):
        super().__init__()
        self.enc = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(128, code),
        )
        self.dec = nn.Sequential(
            nn.Linear(code, 128),
            nn.LeakyReLU(0.1),
            nn.Unflatten(1, (32, 2, 2)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        z = self.enc(x)
        return self.dec(z), z


def main(seed, epochs, code):
    torch.manual_seed(seed)
    images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    train, held = random_split(images, [1500, len(images) - 1500])
    train_dl = DataLoader(train, batch_size=50, shuffle=True)
    held_dl = DataLoader(held, batch_size=100)
    model = ConvAutoencoder(code)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    mse = nn.MSELoss()
    for epoch in range(epochs):
        model.train()
        tr = 0.0
        for x in train_dl:
            recon, _ = model(x)
            loss = mse(recon, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tr += loss.item() * len(x)
        model.eval()
        with torch.no_grad():
            va = sum(mse(model(x)[0], x).item() * len(x) for x in held_dl)
        print(f"epoch {epoch + 1:2d}  train {tr / len(train):.5f}  held-out {va / len(held):.5f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=18)
    ap.add_argument("--code", type=int, default=10)
    a = ap.parse_args()
    main(a.seed, a.epochs, a.code)
