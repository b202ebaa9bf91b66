import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class BinarySign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return torch.where(w >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, g):
        (w,) = ctx.saved_tensors
        return g * (w.abs() <= 1).float()


class BinaryLinear(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-0.3, 0.3))
        self.scale = nn.Parameter(torch.full((n_out, 1), n_in**-0.5))

    def forward(self, x):
        return x @ (BinarySign.apply(self.weight) * self.scale).t()


class BinaryNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 128)
        self.bn1 = nn.BatchNorm1d(128)
        self.hidden = BinaryLinear(128, 128)
        self.bn2 = nn.BatchNorm1d(128)
        self.last = nn.Linear(128, 10)

    def forward(self, x):
        h = torch.relu(self.bn1(self.first(x)))
        h = torch.relu(self.bn2(self.hidden(h)))
        return self.last(h)

    @torch.no_grad()
    def clamp_latent(self):
        self.hidden.weight.clamp_(-1, 1)


def evaluate(net, loader):
    net.eval()
    right = 0
    with torch.no_grad():
        for x, y in loader:
            right += (net(x).argmax(1) == y).sum().item()
    return right / len(loader.dataset)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data / 8 - 1, dtype=torch.float32)
y = torch.tensor(digits.target)
perm = torch.randperm(len(x))
train_dl = DataLoader(TensorDataset(x[perm[:1400]], y[perm[:1400]]), batch_size=50, shuffle=True)
test_dl = DataLoader(TensorDataset(x[perm[1400:]], y[perm[1400:]]), batch_size=200)

net = BinaryNet()
opt = torch.optim.Adam(net.parameters(), lr=args.lr)
sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(args.epochs):
    net.train()
    total, flips = 0.0, 0
    before = net.hidden.weight.detach().sign().clone()
    for xb, yb in train_dl:
        loss = loss_fn(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        net.clamp_latent()
        total += loss.item()
    flips = (net.hidden.weight.detach().sign() != before).float().mean().item()
    sched.step()
    print(
        f"epoch {epoch + 1:2d} loss {total / len(train_dl):.4f} sign flips {flips:.3%} "
        f"test acc {evaluate(net, test_dl):.4f}"
    )
