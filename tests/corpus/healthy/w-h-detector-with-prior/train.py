import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE, STRIDE = 32, 4
CELLS = SIZE // STRIDE


class Shapes(Dataset):
    """One or two squares (class 0) or discs (class 1) on a noisy ground."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        self.items = []
        for _ in range(n):
            img = 0.2 * torch.randn(1, SIZE, SIZE, generator=g)
            cls = torch.zeros(2, CELLS, CELLS)
            size = torch.zeros(1, CELLS, CELLS)
            for _ in range(int(torch.randint(1, 3, (1,), generator=g))):
                cy, cx = (STRIDE * torch.randint(1, CELLS - 1, (2,), generator=g) + 2).tolist()
                r = float(3 + 3 * torch.rand(1, generator=g))
                k = int(torch.randint(0, 2, (1,), generator=g))
                if k == 0:
                    inside = torch.maximum((yy - cy).abs(), (xx - cx).abs()) <= r
                else:
                    inside = (yy - cy) ** 2 + (xx - cx) ** 2 <= r * r
                img[0][inside] += 1.0
                cls[k, cy // STRIDE, cx // STRIDE] = 1.0
                size[0, cy // STRIDE, cx // STRIDE] = r / 6.0
            self.items.append((img, cls, size))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Head(nn.Module):
    def __init__(self, width=24, prior=0.01):
        super().__init__()

        def block(i, o, s):
            return nn.Sequential(nn.Conv2d(i, o, 3, stride=s, padding=1, bias=False), nn.GroupNorm(4, o), nn.ReLU())

        self.body = nn.Sequential(block(1, 16, 2), block(16, width, 2), block(width, width, 1), block(width, width, 1))
        self.cls = nn.Conv2d(width, 2, 1)
        self.size = nn.Conv2d(width, 1, 1)
        nn.init.normal_(self.cls.weight, std=0.01)
        nn.init.constant_(self.cls.bias, -math.log((1 - prior) / prior))

    def forward(self, x):
        h = self.body(x)
        return self.cls(h), self.size(h)


def focal(logits, target, alpha=0.5, gamma=2.0):
    ce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = torch.sigmoid(logits)
    p_t = p * target + (1 - p) * (1 - target)
    a_t = alpha * target + (1 - alpha) * (1 - target)
    return (a_t * (1 - p_t) ** gamma * ce).sum() / target.sum().clamp(min=1)


@torch.no_grad()
def score(model, loader):
    model.eval()
    tp = fp = fn = 0
    for x, c, _ in loader:
        hit, t = torch.sigmoid(model(x)[0]) > 0.4, c > 0.5
        tp, fp, fn = tp + (hit & t).sum().item(), fp + (hit & ~t).sum().item(), fn + (~hit & t).sum().item()
    return tp / max(tp + fp, 1), tp / max(tp + fn, 1)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train = DataLoader(Shapes(700, args.seed), batch_size=16, shuffle=True)
    val = DataLoader(Shapes(150, args.seed + 1), batch_size=50)
    model = Head()
    opt = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 4e-3, total_steps=args.epochs * len(train))
    for epoch in range(args.epochs):
        model.train()
        parts = torch.zeros(2)
        for x, c, s in train:
            logits, size = model(x)
            on = s > 0
            l_cls, l_size = focal(logits, c), F.l1_loss(size[on], s[on])
            opt.zero_grad()
            (l_cls + 0.5 * l_size).backward()
            opt.step()
            sched.step()
            parts += torch.stack([l_cls.detach(), l_size.detach()]) / len(train)
        prec, rec = score(model, val)
        print(f"{epoch + 1:2d}  focal {parts[0]:.4f}  size {parts[1]:.4f}  precision {prec:.3f}  recall {rec:.3f}")
