import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def gratings(n, gen, size=14, classes=6):
    """Noisy sinusoidal gratings; the class is the orientation."""
    label = torch.randint(0, classes, (n,), generator=gen)
    angle = label * math.pi / classes + 0.12 * torch.randn(n, generator=gen)
    freq = 0.8 + 0.5 * torch.rand(n, generator=gen)
    phase = 2 * math.pi * torch.rand(n, generator=gen)
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    proj = xx * angle.cos()[:, None, None] + yy * angle.sin()[:, None, None]
    img = torch.sin(freq[:, None, None] * proj + phase[:, None, None])
    img = img + 0.5 * torch.randn(n, size, size, generator=gen)
    return img[:, None], label


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 5)
        self.conv2 = nn.Conv2d(12, 16, 3)
        self.fc = nn.Linear(16 * 4, 6)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.adaptive_max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


def validate(net, loader):
    net.eval()
    right = loss = 0.0
    with torch.no_grad():
        for img, lab in loader:
            out = net(img)
            loss += F.cross_entropy(out, lab, reduction="sum").item()
            right += (out.argmax(1) == lab).sum().item()
    return loss / len(loader.dataset), right / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base-lr", type=float, default=0.2, help="rate at a batch of 256")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    train = DataLoader(TensorDataset(*gratings(2400, gen)), batch_size=args.batch_size, shuffle=True)
    val = DataLoader(TensorDataset(*gratings(500, gen)), batch_size=250)

    lr = args.base_lr * args.batch_size / 256
    net = Net()
    opt = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=args.epochs)
    for ep in range(args.epochs):
        net.train()
        total = 0.0
        for img, lab in train:
            loss = F.cross_entropy(net(img), lab)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(lab)
        vl, va = validate(net, val)
        print(
            f"epoch {ep + 1:2d} lr {sched.get_last_lr()[0]:.4f} train {total / len(train.dataset):.4f} "
            f"val {vl:.4f} acc {va:.3f}"
        )
        sched.step()


if __name__ == "__main__":
    main()
