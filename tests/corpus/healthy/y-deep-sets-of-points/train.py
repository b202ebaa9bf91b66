"""Which solid was this cloud of points drawn from? A network over sets (max over the points)."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SOLIDS = ("sphere", "cube", "cylinder", "cone")


def clouds(n, points=48):
    kind = torch.randint(4, (n,))
    u = torch.randn(n, points, 3)
    sphere = u / u.norm(dim=2, keepdim=True)
    cube = torch.rand(n, points, 3) * 2 - 1
    cube = cube / cube.abs().amax(2, keepdim=True)
    angle, height = 6.2832 * torch.rand(n, points), 2 * torch.rand(n, points) - 1
    ring = torch.stack([angle.cos(), angle.sin()], 2)
    cylinder = torch.cat([ring, height[..., None]], 2)
    cone = torch.cat([ring * ((1 - height) / 2)[..., None], height[..., None]], 2)
    solids = torch.stack([sphere, cube, cylinder, cone], 1)[torch.arange(n), kind]
    return TensorDataset(solids + 0.05 * torch.randn(n, points, 3), kind)


class DeepSet(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(3, 48), nn.ReLU(), nn.Linear(48, 64), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(128, 48), nn.ReLU(), nn.Linear(48, len(SOLIDS)))

    def forward(self, cloud):
        each = self.phi(cloud)
        return self.rho(torch.cat([each.amax(1), each.mean(1)], dim=1))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=8)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train, test = DataLoader(clouds(1500), 50, shuffle=True), DataLoader(clouds(300), 100)
    net = DeepSet()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for cloud, kind in train:
            optimizer.zero_grad()
            loss = criterion(net(cloud), kind)
            loss.backward()
            optimizer.step()
            total += loss.item()
        net.eval()
        confusion = torch.zeros(4, 4, dtype=torch.long)
        with torch.no_grad():
            for cloud, kind in test:
                for t, g in zip(kind, net(cloud).argmax(1)):
                    confusion[t, g] += 1
        print(f"epoch {epoch} loss {total / len(train):.3f} accuracy {confusion.diag().sum() / confusion.sum():.3f}")
    for name, row in zip(SOLIDS, confusion.tolist()):
        print(f"{name:>10}", row)


if __name__ == "__main__":
    main()
