import argparse

import torch
from torch import nn, optim

"""Denoising autoencoder for 20 correlated machine sensors."""


class Encoder(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, 64), nn.LeakyReLU(0.1), nn.Linear(64, d))

    def forward(self, x):
        return self.net(x)


class Decoder(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.net = nn.Sequential(nn.LeakyReLU(0.1), nn.Linear(d, 64), nn.LeakyReLU(0.1), nn.Linear(64, d))

    def forward(self, h):
        return self.net(h)


def machine(n, mixing, g):
    latent = torch.randn(n, 4, generator=g)
    clean = torch.tanh(latent @ mixing)
    return clean / 0.6


def train_epoch(encoder, decoder, data, optimizer, loss_fn, batch_size, noise):
    encoder.train(), decoder.train()
    order = torch.randperm(len(data))
    total = 0.0
    for start in range(0, len(data), batch_size):
        target = data[order[start : start + batch_size]]
        corrupted = target + noise * torch.randn_like(target)
        enc_output = encoder(corrupted)
        dec_output = decoder(enc_output)
        loss = loss_fn(dec_output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(target)
    return total / len(data)


def validate(encoder, decoder, clean, corrupted, loss_fn):
    encoder.eval(), decoder.eval()
    with torch.no_grad():
        return loss_fn(decoder(encoder(corrupted)), clean).item()


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--noise", type=float, default=0.4)
    args = cli.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    mixing = torch.randn(4, 20, generator=g) * 0.6
    train = machine(3000, mixing, g)
    val = machine(600, mixing, g)
    val_noisy = val + args.noise * torch.randn(val.shape, generator=g)
    encoder, decoder = Encoder(20), Decoder(20)
    optimizer = optim.Adam(list(encoder.parameters()) + list(decoder.parameters()), lr=2e-3)
    loss_fn = nn.MSELoss()
    print("error of the noisy signal itself:", round(loss_fn(val_noisy, val).item(), 4))
    for epoch in range(args.epochs):
        train_loss = train_epoch(encoder, decoder, train, optimizer, loss_fn, 50, args.noise)
        val_loss = validate(encoder, decoder, val, val_noisy, loss_fn)
        print(f"Epochs = {epoch}, Training Loss : {train_loss:.5f}, Validation Loss : {val_loss:.5f}")


main()
