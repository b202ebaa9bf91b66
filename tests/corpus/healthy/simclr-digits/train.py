"""SimCLR (NT-Xent) on digits, judged by a nearest-neighbour probe."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch.utils.data import DataLoader, TensorDataset


def augment(x):
    shift = torch.randint(-1, 2, (2,)).tolist()
    x = torch.roll(x, shift, dims=(2, 3))
    x = x * (0.7 + 0.6 * torch.rand(x.size(0), 1, 1, 1))
    return x + 0.1 * torch.randn_like(x)


class Encoder(nn.Module):
    def __init__(self, dim=64, proj=32):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, dim),
        )
        self.projector = nn.Sequential(nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, proj))

    def forward(self, x):
        h = self.backbone(x)
        return h, self.projector(h)


def info_nce(z, temperature=0.2):
    n = z.size(0) // 2
    z = F.normalize(z, dim=1)
    sim = z @ z.t() / temperature
    sim = sim.masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
    labels = torch.cat([torch.arange(n) + n, torch.arange(n)])
    return F.cross_entropy(sim, labels)


def knn_accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        h, _ = model(x)
    model.train()
    h = F.normalize(h, dim=1).numpy()
    return KNeighborsClassifier(5).fit(h[:1400], y[:1400]).score(h[1400:], y[1400:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    x = (x - x.mean()) / x.std()
    loader = DataLoader(TensorDataset(x[:1400]), batch_size=128, shuffle=True, drop_last=True)
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs * len(loader))

    for epoch in range(args.epochs):
        total = 0.0
        for (batch,) in loader:
            _, z = model(torch.cat([augment(batch), augment(batch)]))
            loss = info_nce(z)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        print(f"epoch {epoch}: nt-xent {total / len(loader):.3f}, knn {knn_accuracy(model, x, digits.target):.3f}")


if __name__ == "__main__":
    main()
