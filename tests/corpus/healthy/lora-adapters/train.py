"""Adapts a frozen MLP to rotated digits with low-rank adapters."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class LoRALinear(nn.Module):
    def __init__(self, base, rank=4, alpha=8):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.t() @ self.B.t())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def train(model, x, y, x_val, y_val, lr, epochs, label):
    params = [p for p in model.parameters() if p.requires_grad]
    print(f"{label}: training {sum(p.numel() for p in params)} parameters")
    optimizer = torch.optim.AdamW(params, lr=lr)
    for epoch in range(epochs):
        model.train()
        for idx in torch.randperm(len(x)).split(32):
            loss = F.cross_entropy(model(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(x_val)
        acc = (logits.argmax(1) == y_val).float().mean().item()
        print(f"{label} epoch {epoch}: val loss {F.cross_entropy(logits, y_val).item():.4f} acc {acc:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rank", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    perm = torch.randperm(len(y))
    images, y = images[perm], y[perm]
    upright = images.flatten(1)
    rotated = torch.rot90(images, 1, dims=(1, 2)).flatten(1)

    model = Net()
    train(model, upright[:1200], y[:1200], upright[1200:], y[1200:], 1e-3, 12, "base")
    for name in ("fc1", "fc2", "fc3"):
        setattr(model, name, LoRALinear(getattr(model, name), args.rank))
    train(model, rotated[:1200], y[:1200], rotated[1200:], y[1200:], 5e-3, 10, "lora")


if __name__ == "__main__":
    main()
