import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, random_split


class SparseAutoencoder(nn.Module):
    def __init__(self, n_in, n_code):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_in, 128), nn.ReLU(), nn.Linear(128, n_code), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(n_code, 128), nn.ReLU(), nn.Linear(128, n_in), nn.Sigmoid())

    def forward(self, x):
        code = self.encoder(x)
        return self.decoder(code), code


def objective(model, x, l1):
    recon, code = model(x)
    mse = nn.functional.mse_loss(recon, x)
    sparsity = code.abs().mean()
    return mse + l1 * sparsity, mse, code


def explained(model, loader, mean):
    model.eval()
    err = ref = active = count = 0.0
    with torch.no_grad():
        for x in loader:
            recon, code = model(x)
            err += ((recon - x) ** 2).sum().item()
            ref += ((x - mean) ** 2).sum().item()
            active += (code > 1e-3).float().sum().item()
            count += code.numel()
    return 1.0 - err / ref, active / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--code", type=int, default=64)
    parser.add_argument("--l1", type=float, default=2e-3)
    opt = parser.parse_args()
    torch.manual_seed(opt.seed)

    pixels = torch.from_numpy(load_digits().data).float() / 16.0
    train_set, val_set = random_split(pixels, [1400, 397])
    mean = pixels[train_set.indices].mean(0)
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=397)

    model = SparseAutoencoder(64, opt.code)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, opt.epochs + 1):
        model.train()
        total = mse_total = 0.0
        for x in train_loader:
            loss, mse, _ = objective(model, x, opt.l1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            mse_total += mse.item()
        r2, active = explained(model, val_loader, mean)
        print(
            f"====> Epoch {epoch}: loss {total / len(train_loader):.4f} "
            f"mse {mse_total / len(train_loader):.4f} | val R2 {r2:.3f} active units {active:.2f}"
        )


if __name__ == "__main__":
    main()
