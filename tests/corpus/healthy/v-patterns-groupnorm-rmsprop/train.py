"""Classify 12x12 textures (stripes, checks, dots, blobs); batch size 4 as on a small GPU."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class Textures(Dataset):
    names = ["stripes", "checks", "dots", "blob"]

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        r, c = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
        self.x, self.y = [], torch.randint(0, 4, (n,), generator=g)
        for k in self.y.tolist():
            off = torch.randint(0, 4, (2,), generator=g)
            if k == 0:
                img = (((r + off[0]) // 2) % 2).float()
            elif k == 1:
                img = ((((r + off[0]) // 2) + ((c + off[1]) // 2)) % 2).float()
            elif k == 2:
                img = (((r + off[0]) % 3 == 0) & ((c + off[1]) % 3 == 0)).float()
            else:
                ctr = torch.rand(2, generator=g) * 6 + 3
                img = torch.exp(-((r - ctr[0]) ** 2 + (c - ctr[1]) ** 2) / 8.0)
            img = img + 0.5 * torch.randn(12, 12, generator=g)
            self.x.append((img - img.mean()) / img.std())

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i].unsqueeze(0), self.y[i]


class ConvGN(nn.Module):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.GroupNorm(4, c_out)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)), 0.1)


class TextureNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvGN(1, 8)
        self.stage1 = ConvGN(8, 16, stride=2)
        self.stage2 = ConvGN(16, 16, stride=2)
        self.fc = nn.Linear(16 * 9, 4)

    def forward(self, x):
        x = self.stage2(self.stage1(self.stem(x)))
        return self.fc(x.flatten(1))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=6)
    p.add_argument("--lr", type=float, default=1e-4)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    train = DataLoader(Textures(1000, args.seed), batch_size=4, shuffle=True)
    val = DataLoader(Textures(300, args.seed + 1000), batch_size=100)

    model = TextureNet()
    opt = torch.optim.RMSprop(model.parameters(), lr=args.lr, momentum=0.9)
    sched = torch.optim.lr_scheduler.ExponentialLR(opt, 0.7)
    for epoch in range(args.epochs):
        model.train()
        avg = None
        for i, (x, y) in enumerate(train):
            loss = F.cross_entropy(model(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            avg = loss.item() if avg is None else 0.98 * avg + 0.02 * loss.item()
            if i % 125 == 124:
                print(f"  epoch {epoch + 1} step {i + 1} smoothed loss {avg:.4f}")
        sched.step()
        model.eval()
        vloss, right = 0.0, 0
        with torch.no_grad():
            for x, y in val:
                out = model(x)
                vloss += F.cross_entropy(out, y, reduction="sum").item()
                right += (out.argmax(1) == y).sum().item()
        print(f"epoch {epoch + 1} val loss {vloss / 300:.4f} val acc {right / 300:.3f}")


if __name__ == "__main__":
    main()
