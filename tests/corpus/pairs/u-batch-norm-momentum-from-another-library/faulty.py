import argparse
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

BN_MOMENTUM = 1 - 0.999
BN_EPS = 1e-3

Norm = partial(nn.BatchNorm2d, momentum=BN_MOMENTUM, eps=BN_EPS)


class MBConv(nn.Module):
    def __init__(self, cin, cout, expand=3, stride=1):
        super().__init__()
        mid = cin * expand
        self.same = cin == cout and stride == 1
        self.body = nn.Sequential(
            nn.Conv2d(cin, mid, 1, bias=False),
            Norm(mid),
            nn.SiLU(),
            nn.Conv2d(mid, mid, 3, stride=stride, padding=1, groups=mid, bias=False),
            Norm(mid),
            nn.SiLU(),
            nn.Conv2d(mid, cout, 1, bias=False),
            Norm(cout),
        )

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


class MicroNet(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1, bias=False), Norm(12), nn.SiLU())
        self.blocks = nn.Sequential(MBConv(12, 16, stride=2), MBConv(16, 16))
        self.head = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def train_one_epoch(model, loader, opt):
    model.train()
    total = correct = seen = 0
    for x, y in loader:
        opt.zero_grad()
        out = model(x)
        loss = F.cross_entropy(out, y)
        loss.backward()
        opt.step()
        total += loss.item() * len(y)
        correct += (out.argmax(1) == y).sum().item()
        seen += len(y)
    return total / seen, correct / seen


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    total = correct = seen = 0
    for x, y in loader:
        out = model(x)
        total += F.cross_entropy(out, y, reduction="sum").item()
        correct += (out.argmax(1) == y).sum().item()
        seen += len(y)
    return total / seen, correct / seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=4e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
    x = (x / 16.0 - 0.305) / 0.376
    data = TensorDataset(x, torch.tensor(digits.target))
    train_set, val_set = random_split(data, [1400, 397])
    train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=200)
    model = MicroNet()
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-3)
    for epoch in range(args.epochs):
        tl, ta = train_one_epoch(model, train_loader, opt)
        vl, va = evaluate(model, val_loader)
        print(f"epoch {epoch + 1}/{args.epochs}  loss {tl:.4f} acc {ta:.4f}  val_loss {vl:.4f} val_acc {va:.4f}")
