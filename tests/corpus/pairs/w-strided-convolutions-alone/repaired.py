import argparse

import torch
from torch import nn


def gratings(n, size=16):
    g = torch.arange(size, dtype=torch.float32)
    yy, xx = torch.meshgrid(g, g, indexing="ij")
    label = torch.randint(0, 6, (n,))
    theta = label * torch.pi / 6 + 0.1 * torch.randn(n)
    freq = 2 * torch.pi / torch.empty(n).uniform_(3.0, 6.0)
    phase = 2 * torch.pi * torch.rand(n)
    arg = freq[:, None, None] * (torch.cos(theta)[:, None, None] * xx + torch.sin(theta)[:, None, None] * yy)
    img = torch.sin(arg + phase[:, None, None]) + 0.9 * torch.randn(n, size, size)
    return img.unsqueeze(1), label


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, stride=stride, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


def build(width):
    return nn.Sequential(
        Block(1, width, 1),
        Block(width, width, 2),
        Block(width, 2 * width, 2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, 6),
    )


def iterate(x, y, batch_size, shuffle):
    idx = torch.randperm(len(y)) if shuffle else torch.arange(len(y))
    for s in range(0, len(y), batch_size):
        j = idx[s : s + batch_size]
        yield x[j], y[j]


def epoch_pass(net, x, y, args, opt=None):
    net.train(opt is not None)
    loss_sum = hit = 0.0
    with torch.set_grad_enabled(opt is not None):
        for xb, yb in iterate(x, y, args.batch_size, opt is not None):
            z = net(xb)
            loss = nn.functional.cross_entropy(z, yb)
            if opt is not None:
                opt.zero_grad()
                loss.backward()
                opt.step()
            loss_sum += float(loss.detach()) * len(yb)
            hit += float((z.argmax(1) == yb).sum())
    return loss_sum / len(y), hit / len(y)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description="Orientation of a grating in noise")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=7)
    p.add_argument("--batch-size", type=int, default=50)
    p.add_argument("--lr", type=float, default=0.03)
    p.add_argument("--width", type=int, default=12)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    train_set, dev_set = gratings(2500), gratings(500)
    net = build(args.width)
    opt = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.MultiStepLR(opt, milestones=[5], gamma=0.2)
    for e in range(args.epochs):
        tr = epoch_pass(net, *train_set, args, opt)
        dv = epoch_pass(net, *dev_set, args)
        sched.step()
        print("epoch %d  train %.4f / %.3f   dev %.4f / %.3f" % (e, *tr, *dv))
