"""Autoencoder with eight categorical code variables, trained with the Gumbel softmax."""

import argparse
import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class CategoricalAE(nn.Module):
    def __init__(self, groups=12, options=8):
        super().__init__()
        self.groups, self.options = groups, options
        self.enc = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, groups * options))
        self.dec = nn.Sequential(nn.Linear(groups * options, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x, tau):
        logits = self.enc(x).view(-1, self.groups, self.options)
        if self.training:
            code = F.gumbel_softmax(logits, tau=tau, hard=False, dim=-1)
        else:
            code = F.one_hot(logits.argmax(-1), self.options).float()
        return self.dec(code.flatten(1)), logits


def uniform_kl(logits):
    q = logits.softmax(-1)
    return (q * (logits.log_softmax(-1) + math.log(logits.shape[-1]))).sum(-1).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--tau-start", type=float, default=2.0)
    parser.add_argument("--tau-end", type=float, default=0.5)
    parser.add_argument("--kl", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16.0
    x = x[torch.randperm(len(x))]
    loader = DataLoader(TensorDataset(x[:1500]), batch_size=50, shuffle=True, drop_last=True)
    held_out = x[1500:]
    baseline = F.binary_cross_entropy(x[:1500].mean(0).clamp(1e-3, 1 - 1e-3).expand_as(held_out), held_out).item()
    model = CategoricalAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    print(f"mean image: {baseline:.4f}")
    for epoch in range(args.epochs):
        tau = args.tau_start * (args.tau_end / args.tau_start) ** (epoch / (args.epochs - 1))
        model.train()
        total = 0.0
        for (xb,) in loader:
            out, logits = model(xb, tau)
            loss = F.binary_cross_entropy_with_logits(out, xb) + args.kl * uniform_kl(logits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            out, _ = model(held_out, tau)
            val = F.binary_cross_entropy_with_logits(out, held_out).item()
        if epoch % 3 == 2:
            print(
                f"epoch {epoch + 1:2d}  tau {tau:.2f}  train {total / len(loader):.4f}  held out (hard codes) {val:.4f}"
            )


if __name__ == "__main__":
    main()
