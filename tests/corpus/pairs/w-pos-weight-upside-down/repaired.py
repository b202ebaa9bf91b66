import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

S = 24


class Spots(Dataset):
    """Faint round cells on a structured background, with their masks."""

    def __init__(self, n, generator):
        g = torch.arange(S, dtype=torch.float32)
        yy, xx = torch.meshgrid(g, g, indexing="ij")
        self.masks = torch.zeros(n, 1, S, S)
        for _ in range(2):
            c = torch.randint(4, S - 4, (n, 2, 1, 1), generator=generator).float()
            r = 1.8 + 1.4 * torch.rand(n, 1, 1, generator=generator)
            inside = (yy - c[:, 0]) ** 2 + (xx - c[:, 1]) ** 2 <= r**2
            self.masks[:, 0] = torch.maximum(self.masks[:, 0], inside.float())
        stripes = 0.3 * torch.sin(xx / 2 + 6 * torch.rand(n, 1, 1, generator=generator)).unsqueeze(1)
        noise = 0.45 * torch.randn(n, 1, S, S, generator=generator)
        self.images = self.masks + stripes + noise

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], self.masks[i]


def double_conv(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1),
        nn.BatchNorm2d(cout),
        nn.ReLU(),
        nn.Conv2d(cout, cout, 3, padding=1),
        nn.BatchNorm2d(cout),
        nn.ReLU(),
    )


class TinyUNet(nn.Module):
    def __init__(self, w=8):
        super().__init__()
        self.d1, self.d2 = double_conv(1, w), double_conv(w, 2 * w)
        self.up = nn.ConvTranspose2d(2 * w, w, 2, stride=2)
        self.u1 = double_conv(2 * w, w)
        self.out = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.up(self.d2(F.max_pool2d(a, 2)))
        return self.out(self.u1(torch.cat([a, b], 1)))


def dice_score(model, loader):
    model.eval()
    inter = total = 0.0
    with torch.no_grad():
        for x, m in loader:
            p = (torch.sigmoid(model(x)) > 0.5).float()
            inter += (p * m).sum().item()
            total += (p.sum() + m.sum()).item()
    return 2 * inter / total


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--batch-size", type=int, default=16)
args = parser.parse_args()
torch.manual_seed(args.seed)
gen = torch.Generator().manual_seed(args.seed)

train_ds, val_ds = Spots(400, gen), Spots(100, gen)
train_dl = DataLoader(train_ds, args.batch_size, shuffle=True)
val_dl = DataLoader(val_ds, 50)

pos = train_ds.masks.sum()
neg = train_ds.masks.numel() - pos
pos_weight = neg / pos
print(f"foreground {100 * pos / (pos + neg):.1f} % of the pixels, pos_weight {pos_weight:.3f}")

model = TinyUNet()
criterion = nn.BCEWithLogitsLoss(pos_weight=pos_weight)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(args.epochs):
    model.train()
    running = 0.0
    for x, m in train_dl:
        optimizer.zero_grad()
        loss = criterion(model(x), m)
        loss.backward()
        optimizer.step()
        running += loss.item()
    print(f"epoch {epoch + 1}: bce {running / len(train_dl):.4f}  val dice {dice_score(model, val_dl):.4f}")
