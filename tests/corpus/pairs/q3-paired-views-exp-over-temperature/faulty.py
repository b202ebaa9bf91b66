import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Encoder(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, dim))

    def forward(self, x):
        return F.normalize(self.mlp(x), dim=1)


def two_views(x, strength=0.3):
    def view():
        keep = (torch.rand_like(x) > 0.15).float()
        return x * keep + strength * torch.randn_like(x)

    return view(), view()


def info_nce(a, b, temperature):
    sim = torch.exp(a @ b.t() / temperature)
    return -torch.log(sim.diag() / sim.sum(dim=1)).mean()


@torch.no_grad()
def retrieval(encoder, x):
    encoder.eval()
    a, b = two_views(x)
    return (torch.argmax(encoder(a) @ encoder(b).t(), 1) == torch.arange(len(x))).float().mean().item()


@torch.no_grad()
def nearest_neighbour_accuracy(encoder, x, y, x_val, y_val):
    encoder.eval()
    nearest = (encoder(x_val) @ encoder(x).t()).argmax(1)
    return (y[nearest] == y_val).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X / 8.0 - 1.0, dtype=torch.float32)
    y = torch.tensor(y)
    perm = torch.randperm(len(X))
    tr, va = perm[:1450], perm[1450:]
    loader = DataLoader(TensorDataset(X[tr]), batch_size=args.batch_size, shuffle=True, drop_last=True)

    encoder = Encoder()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    for epoch in range(1, args.epochs + 1):
        encoder.train()
        total = 0.0
        for (x,) in loader:
            a, b = two_views(x)
            loss = info_nce(encoder(a), encoder(b), args.temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        if epoch % 5 == 0:
            print(
                f"epoch {epoch}: loss {total / len(loader):.4f}  "
                f"retrieval {retrieval(encoder, X[va]):.3f}  "
                f"1-nn digits {nearest_neighbour_accuracy(encoder, X[tr], y[tr], X[va], y[va]):.3f}"
            )
