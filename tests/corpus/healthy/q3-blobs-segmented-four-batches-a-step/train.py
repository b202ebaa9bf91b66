import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, IterableDataset


class BlobStream(IterableDataset):
    def __init__(self, seed, size=20):
        self.rng = np.random.default_rng(seed)
        self.size = size

    def one(self):
        yy, xx = np.mgrid[0 : self.size, 0 : self.size]
        mask = np.zeros((self.size, self.size), dtype=bool)
        for _ in range(self.rng.integers(1, 4)):
            cy, cx = self.rng.uniform(3, self.size - 3, 2)
            a, b = self.rng.uniform(2, 4.5, 2)
            mask |= ((yy - cy) / a) ** 2 + ((xx - cx) / b) ** 2 < 1
        img = 1.2 * mask - 0.3 + self.rng.normal(0, 0.6, mask.shape)
        return torch.tensor(img[None], dtype=torch.float32), torch.tensor(mask[None], dtype=torch.float32)

    def __iter__(self):
        while True:
            yield self.one()


class SegNet(nn.Module):
    def __init__(self, w=8):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, w, 3, padding=1), nn.ReLU(), nn.Conv2d(w, w, 3, padding=1), nn.ReLU())
        self.mid = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(w, 2 * w, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * w, 2 * w, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="nearest"),
        )
        self.up = nn.Sequential(nn.Conv2d(3 * w, w, 3, padding=1), nn.ReLU(), nn.Conv2d(w, 1, 1))

    def forward(self, x):
        d = self.down(x)
        return self.up(torch.cat([d, self.mid(d)], 1))


def iou(logits, mask):
    pred = logits > 0
    truth = mask > 0.5
    return ((pred & truth).sum() / (pred | truth).sum()).item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--updates", type=int, default=160)
    ap.add_argument("--accumulate", type=int, default=4)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    held_out = BlobStream(args.seed + 500)
    x_val, m_val = map(torch.stack, zip(*[held_out.one() for _ in range(100)]))
    stream = iter(DataLoader(BlobStream(args.seed), batch_size=4))
    model = SegNet()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RAdam(model.parameters(), lr=4e-3)

    shown = 0.0
    for update in range(1, args.updates + 1):
        model.train()
        optimizer.zero_grad()
        for _ in range(args.accumulate):
            x, mask = next(stream)
            loss = criterion(model(x), mask) / args.accumulate
            loss.backward()
            shown += loss.item()
        optimizer.step()
        if update % 20 == 0:
            model.eval()
            with torch.no_grad():
                out = model(x_val)
            print(
                f"update {update:4d}  loss {shown / 20:.4f}  val {criterion(out, m_val).item():.4f}  IoU {iou(out, m_val):.3f}"
            )
            shown = 0.0


if __name__ == "__main__":
    main()
