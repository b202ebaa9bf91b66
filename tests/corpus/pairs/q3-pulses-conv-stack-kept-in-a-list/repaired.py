import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class PulseTrains(Dataset):
    """1-D recordings; the class is the pattern of gaps between three pulses."""

    gaps = [(4, 8), (8, 4), (6, 6), (3, 9), (9, 3), (5, 7)]

    def __init__(self, n, gen):
        self.x = 0.3 * torch.randn(n, 1, 40, generator=gen)
        self.y = torch.randint(0, len(self.gaps), (n,), generator=gen)
        start = torch.randint(2, 20, (n,), generator=gen)
        for i in range(n):
            a, b = self.gaps[int(self.y[i])]
            s = int(start[i])
            for t in (s, s + a, s + a + b):
                self.x[i, 0, t : t + 2] += 2.0

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class PulseNet(nn.Module):
    def __init__(self, width=16, depth=4, classes=6):
        super().__init__()
        self.stem = nn.Conv1d(1, width, 3, padding=1)
        self.layers = nn.ModuleList([nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in [1, 2, 4, 4][:depth]])
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        h = torch.relu(self.stem(x))
        for conv in self.layers:
            h = torch.relu(conv(h))
        return self.head(h.amax(-1))


def accuracy(net, loader):
    net.eval()
    hit = tot = 0
    with torch.no_grad():
        for x, y in loader:
            hit += (net(x).argmax(1) == y).sum().item()
            tot += y.numel()
    return hit / tot


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--max-epochs", type=int, default=8)
    args = args.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    train_dl = DataLoader(PulseTrains(1800, gen), batch_size=32, shuffle=True)
    dev_dl = DataLoader(PulseTrains(500, gen), batch_size=250)

    net = PulseNet()
    print("parameters:", sum(p.numel() for p in net.parameters()))
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    ce = nn.CrossEntropyLoss()
    for ep in range(args.max_epochs):
        net.train()
        total = 0
        for x, y in train_dl:
            opt.zero_grad()
            loss = ce(net(x), y)
            loss.backward()
            opt.step()
            total += loss.item() * len(y)
        print(f"ep {ep + 1:2d} loss {total / len(train_dl.dataset):.4f} dev acc {accuracy(net, dev_dl):.3f}")
