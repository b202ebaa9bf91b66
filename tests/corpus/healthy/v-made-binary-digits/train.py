import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class MaskedLinear(nn.Linear):
    def __init__(self, d_in, d_out):
        super().__init__(d_in, d_out)
        self.register_buffer("mask", torch.ones(d_out, d_in))

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    def __init__(self, n_pixels=64, hidden=128):
        super().__init__()
        self.fc1 = MaskedLinear(n_pixels, hidden)
        self.fc2 = MaskedLinear(hidden, hidden)
        self.out = MaskedLinear(hidden, n_pixels)
        order = torch.arange(1, n_pixels + 1)
        m1 = torch.arange(hidden) % (n_pixels - 1) + 1
        self.fc1.mask.copy_((m1[:, None] >= order[None]).float())
        self.fc2.mask.copy_((m1[:, None] >= m1[None]).float())
        self.out.mask.copy_((order[:, None] > m1[None]).float())

    def forward(self, x):
        h = F.relu(self.fc1(x))
        h = F.relu(self.fc2(h))
        return self.out(h)

    def nll(self, x):
        bce = F.binary_cross_entropy_with_logits(self(x), x, reduction="none")
        return bce.sum(1).mean()

    @torch.no_grad()
    def sample(self, n):
        x = torch.zeros(n, 64)
        for i in range(64):
            x[:, i] = torch.bernoulli(torch.sigmoid(self(x)[:, i]))
        return x


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=18)
    ap.add_argument("--lr", type=float, default=3e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    x = torch.tensor(load_digits().data > 7, dtype=torch.float32)
    x = x[torch.randperm(len(x))]
    train, val = x[:1450], x[1450:]
    loader = DataLoader(TensorDataset(train), batch_size=50, shuffle=True)
    freq = (train.mean(0) * 0.98 + 0.01).expand_as(val)
    print(f"independent pixels: {F.binary_cross_entropy(freq, val, reduction='none').sum(1).mean():.2f} nats")

    model = MADE()
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=args.epochs)
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for (xb,) in loader:
            loss = model.nll(xb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(xb)
        sched.step()
        model.eval()
        with torch.no_grad():
            v = model.nll(val).item()
        print(f"epoch {epoch:2d} train {total / len(train):.2f} nats, val {v:.2f} nats")

    for row in model.sample(1).view(8, 8).int().tolist():
        print("".join(".#"[p] for p in row))


if __name__ == "__main__":
    main()
