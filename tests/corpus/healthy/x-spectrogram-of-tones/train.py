import argparse
import math

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

RATE, SECONDS = 2000, 0.4
KINDS = ["tone", "chirp", "buzz", "clicks"]


def synthesise(kind):
    t = torch.arange(int(RATE * SECONDS)) / RATE
    f = 150 + 350 * torch.rand(1)
    if kind == 0:
        wave = torch.sin(2 * math.pi * f * t)
    elif kind == 1:
        wave = torch.sin(2 * math.pi * (f * t + 400 * t**2))
    elif kind == 2:
        wave = torch.sign(torch.sin(2 * math.pi * f / 3 * t))
    else:
        wave = torch.zeros_like(t)
        wave[:: int(torch.randint(50, 120, (1,)))] = 4.0
    return wave + 0.4 * torch.randn_like(t)


class Sounds(Dataset):
    def __init__(self, n, augment):
        self.labels = torch.randint(0, len(KINDS), (n,))
        waves = torch.stack([synthesise(int(k)) for k in self.labels])
        spec = torch.stft(waves, 128, hop_length=32, window=torch.hann_window(128), return_complex=True).abs()
        self.spec = (torch.log1p(spec)[:, :64] - 1.0) / 0.8
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        s = self.spec[i].clone()
        if self.augment:
            start = int(torch.randint(0, 60, (1,)))
            s[start : start + 4] = 0.0  # a frequency band is masked
            s = torch.roll(s, int(torch.randint(-3, 4, (1,))), dims=1)
        return s.unsqueeze(0), self.labels[i]


def conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader = DataLoader(Sounds(800, augment=True), batch_size=32, shuffle=True)
    val_loader = DataLoader(Sounds(200, augment=False), batch_size=100)

    net = nn.Sequential(conv(1, 6), conv(6, 12), conv(12, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    train_criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    val_criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)

    for epoch in range(args.epochs):
        net.train()
        running = 0.0
        for spec, label in train_loader:
            optimizer.zero_grad()
            loss = train_criterion(net(spec), label)
            loss.backward()
            optimizer.step()
            running += loss.item() / len(train_loader)
        scheduler.step()
        net.eval()
        val, hits = 0.0, 0
        with torch.no_grad():
            for spec, label in val_loader:
                out = net(spec)
                val += val_criterion(out, label).item() / len(val_loader)
                hits += (out.argmax(1) == label).sum().item()
        print(f"epoch {epoch + 1}/{args.epochs} train {running:.3f} val {val:.3f} acc {hits / 200:.3f}")


if __name__ == "__main__":
    main()
