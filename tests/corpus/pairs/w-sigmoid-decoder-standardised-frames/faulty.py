import argparse

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader


def spectra(n, rng, bins=40):
    """Log spectra of hums: a fundamental with decaying partials over a tilted floor."""
    f = np.arange(bins)
    pitch = rng.uniform(5, 9, (n, 1))
    tilt = rng.normal(0, 0.03, (n, 1))
    decay = rng.uniform(0.2, 0.6, (n, 1))
    s = -2 + tilt * (f - bins / 2)
    for k in range(1, 5):
        s = s + 3 * np.exp(-decay * k) * np.exp(-0.5 * ((f - k * pitch) / 1.5) ** 2)
    return s + 0.1 * rng.standard_normal((n, bins))


def make_autoencoder(bins, code):
    encoder = nn.Sequential(nn.Linear(bins, 64), nn.ELU(), nn.Linear(64, 32), nn.ELU(), nn.Linear(32, code))
    decoder = nn.Sequential(
        nn.Linear(code, 32), nn.ELU(), nn.Linear(32, 64), nn.ELU(), nn.Linear(64, bins), nn.Sigmoid()
    )
    return nn.Sequential(encoder, decoder)


def r_squared(model, x):
    model.eval()
    with torch.no_grad():
        err = ((model(x) - x) ** 2).sum()
    return (1 - err / ((x - x.mean(0)) ** 2).sum()).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--code", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    raw_train, raw_val = spectra(2000, rng), spectra(400, rng)
    scaler = StandardScaler().fit(raw_train)
    x_train = torch.tensor(scaler.transform(raw_train), dtype=torch.float32)
    x_val = torch.tensor(scaler.transform(raw_val), dtype=torch.float32)

    model = make_autoencoder(x_train.shape[1], args.code)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.3)
    mse = nn.MSELoss()
    loader = DataLoader(x_train, batch_size=40, shuffle=True)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for batch in loader:
            optimizer.zero_grad()
            loss = mse(model(batch), batch)
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        if epoch % 2 == 1:
            print(f"epoch {epoch + 1}: mse {total / len(loader):.4f}, validation R2 {r_squared(model, x_val):.3f}")
