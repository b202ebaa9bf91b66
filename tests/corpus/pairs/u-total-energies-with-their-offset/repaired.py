import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Molecules(Dataset):
    """Chains of six atoms of three kinds; energy from bonds and angles plus a large constant."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.kind = torch.randint(0, 3, (n, 6), generator=g)
        length = 1.0 + 0.2 * torch.randn(n, 6, generator=g)
        strength = torch.tensor([2.0, 3.5, 5.0])[self.kind]
        bond = strength * (length - 1.1) ** 2 * 6
        pair = torch.tensor([[0.0, 1.0, 0.4], [1.0, -1.5, 0.6], [0.4, 0.6, 2.0]])
        inter = pair[self.kind[:, :-1], self.kind[:, 1:]]
        self.energy = -2040.0 + bond.sum(1) + 2 * inter.sum(1) + 0.1 * torch.randn(n, generator=g)
        self.coords = (length - 1.0) / 0.2

    def __len__(self):
        return len(self.energy)

    def __getitem__(self, i):
        return {"kind": self.kind[i], "coords": self.coords[i], "energy": self.energy[i]}


class EnergyNet(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.kind = nn.Embedding(3, 8)
        self.atom = nn.Sequential(nn.Linear(9, dim), nn.SiLU(), nn.Linear(dim, dim), nn.SiLU())
        self.pair = nn.Sequential(nn.Linear(2 * dim, dim), nn.SiLU())
        self.out = nn.Linear(2 * dim, 1)

    def forward(self, batch):
        h = torch.cat([self.kind(batch["kind"]), batch["coords"].unsqueeze(-1)], -1)
        h = self.atom(h)
        e = self.pair(torch.cat([h[:, :-1], h[:, 1:]], -1))
        return self.out(torch.cat([h.mean(1), e.mean(1)], -1)).squeeze(-1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=15)
    ap.add_argument("--lr", type=float, default=3e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train_set, val_set = Molecules(1600, args.seed + 1), Molecules(400, args.seed + 2)
    shift, spread = train_set.energy.mean(), train_set.energy.std()
    print(f"energies: mean {shift:.1f}, spread {spread:.2f}")
    train = DataLoader(train_set, batch_size=32, shuffle=True)
    val = DataLoader(val_set, batch_size=200)
    net = EnergyNet()
    opt = torch.optim.Adam(net.parameters(), lr=args.lr)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs, eta_min=1e-4)
    for epoch in range(1, args.epochs + 1):
        net.train()
        tot = 0.0
        for batch in train:
            target = (batch["energy"] - shift) / spread
            loss = nn.functional.mse_loss(net(batch), target)
            opt.zero_grad()
            loss.backward()
            opt.step()
            tot += loss.item()
        sched.step()
        net.eval()
        mae = 0.0
        with torch.no_grad():
            for batch in val:
                pred = net(batch) * spread + shift
                mae += (pred - batch["energy"]).abs().sum().item()
        print(f"epoch {epoch:2d}  train loss {tot / len(train):.4f}  val MAE {mae / len(val_set):.3f}")


if __name__ == "__main__":
    main()
