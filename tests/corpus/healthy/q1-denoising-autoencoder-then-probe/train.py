import argparse

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class DenoisingAE(nn.Module):
    def __init__(self, code=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.LeakyReLU(0.2), nn.Linear(48, code))
        self.decoder = nn.Sequential(nn.Linear(code, 48), nn.LeakyReLU(0.2), nn.Linear(48, 64), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


def corrupt(x):
    return x * (torch.rand_like(x) > 0.2)


def pretrain(model, loader, val_loader, epochs):
    opt = optim.Adam(model.parameters(), lr=3e-3)
    bce = nn.BCELoss()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for x, _ in loader:
            loss = bce(model(corrupt(x)), x)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            val = sum(bce(model(corrupt(x)), x).item() for x, _ in val_loader) / len(val_loader)
            floor = sum(bce(x, x).item() for x, _ in val_loader) / len(val_loader)
        if (epoch + 1) % 2 == 0:
            print(f"autoencoder epoch {epoch + 1}: train {total / len(loader):.4f} val {val:.4f} (floor {floor:.4f})")


def probe(model, loader, val_loader, epochs):
    model.eval()
    head = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 10))
    opt = optim.Adam(head.parameters(), lr=1e-2)
    ce = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        head.train()
        total = 0.0
        for x, y in loader:
            loss = ce(head(model.encoder(x).detach()), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        head.eval()
        hits = 0
        with torch.no_grad():
            for x, y in val_loader:
                hits += (head(model.encoder(x)).argmax(1) == y).sum().item()
        print(
            f"probe epoch {epoch + 1}: loss {total / len(loader):.4f} val accuracy {hits / len(val_loader.dataset):.3f}"
        )


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--ae-epochs", type=int, default=14)
    ap.add_argument("--probe-epochs", type=int, default=8)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    data, target = load_digits(return_X_y=True)
    dataset = TensorDataset(torch.tensor(data / 16.0, dtype=torch.float32), torch.tensor(target))
    train_set, val_set = random_split(dataset, [1437, 360])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=120)

    autoencoder = DenoisingAE()
    pretrain(autoencoder, train_loader, val_loader, args.ae_epochs)
    probe(autoencoder, train_loader, val_loader, args.probe_epochs)
