"""SimSiam on digits with shifts and noise, then a linear classifier on frozen features."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


def augment(x):
    n = len(x)
    dx, dy = torch.randint(-1, 2, (2,)).tolist()
    x = torch.roll(x.view(n, 8, 8), (dx, dy), dims=(1, 2)).view(n, 64)
    keep = (torch.rand(n, 64) > 0.1).float()
    return x * keep + 0.1 * torch.randn(n, 64)


class SimSiam(nn.Module):
    def __init__(self, dim=128):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(64, 160, bias=False),
            nn.BatchNorm1d(160),
            nn.ReLU(),
            nn.Linear(160, dim, bias=False),
            nn.BatchNorm1d(dim),
            nn.ReLU(),
        )
        self.projector = nn.Sequential(
            nn.Linear(dim, dim, bias=False),
            nn.BatchNorm1d(dim),
            nn.ReLU(),
            nn.Linear(dim, dim, bias=False),
            nn.BatchNorm1d(dim, affine=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(dim, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, dim)
        )

    def forward(self, a, b):
        za, zb = self.projector(self.encoder(a)), self.projector(self.encoder(b))
        pa, pb = self.predictor(za), self.predictor(zb)
        cos = F.cosine_similarity
        loss = -0.5 * (cos(pa, zb.detach()).mean() + cos(pb, za.detach()).mean())
        return loss, za


def pretrain(model, x, epochs, lr):
    opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs)
    for epoch in range(epochs):
        model.train()
        losses, spreads = [], []
        for idx in torch.randperm(len(x)).split(128):
            loss, z = model(augment(x[idx]), augment(x[idx]))
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
            spreads.append(F.normalize(z.detach(), dim=1).std(0).mean().item())
        sched.step()
        if (epoch + 1) % 5 == 0:
            print(
                f"pretrain {epoch + 1:3d} loss {sum(losses) / len(losses):.4f} "
                f"std of z {sum(spreads) / len(spreads):.4f} (max {z.size(1) ** -0.5:.4f})"
            )


def probe(encoder, xt, yt, xv, yv, epochs=30):
    encoder.eval()
    with torch.no_grad():
        ft, fv = encoder(xt), encoder(xv)
    head = nn.Linear(ft.size(1), 10)
    opt = torch.optim.Adam(head.parameters(), lr=5e-3)
    for epoch in range(epochs):
        for idx in torch.randperm(len(ft)).split(64):
            loss = F.cross_entropy(head(ft[idx]), yt[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
        if (epoch + 1) % 10 == 0:
            with torch.no_grad():
                acc = (head(fv).argmax(1) == yv).float().mean().item()
            print(f"probe {epoch + 1} loss {loss.item():.4f} val acc {acc:.4f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=40)
    ap.add_argument("--lr", type=float, default=0.05)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    x, y = torch.tensor(d.data / 16, dtype=torch.float32), torch.tensor(d.target)
    x = (x - x.mean()) / x.std()
    perm = torch.randperm(len(x))
    tr, va = perm[:1400], perm[1400:]
    model = SimSiam()
    pretrain(model, x[tr], args.epochs, args.lr)
    probe(model.encoder, x[tr], y[tr], x[va], y[va])
