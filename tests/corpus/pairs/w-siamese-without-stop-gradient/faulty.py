import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from torch import nn


def augment(x):
    """Random shift by up to one pixel, gain and noise."""
    n = len(x)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1.0
    theta[:, 0, 1] = 0.2 * torch.randn(n)
    theta[:, 1, 0] = 0.2 * torch.randn(n)
    theta[:, :, 2] = 0.2 * (2 * torch.rand(n, 2) - 1)
    x = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
    x = x * (0.7 + 0.6 * torch.rand(n, 1, 1, 1))
    return x + 0.1 * torch.randn_like(x)


class SimSiam(nn.Module):
    def __init__(self, dim=64, pred=32):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 256, bias=False),
            nn.BatchNorm1d(256),
            nn.ReLU(),
            nn.Linear(256, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(),
        )
        self.projector = nn.Sequential(
            nn.Linear(128, dim, bias=False), nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim)
        )
        self.predictor = nn.Sequential(
            nn.Linear(dim, pred, bias=False), nn.BatchNorm1d(pred), nn.ReLU(), nn.Linear(pred, dim)
        )

    def forward(self, a, b):
        za, zb = self.projector(self.backbone(a)), self.projector(self.backbone(b))
        pa, pb = self.predictor(za), self.predictor(zb)
        return -0.5 * (F.cosine_similarity(pa, zb).mean() + F.cosine_similarity(pb, za).mean())


@torch.no_grad()
def probe(model, xtr, ytr, xva, yva):
    model.eval()
    ztr = F.normalize(model.projector(model.backbone(xtr)), dim=1)
    zva = F.normalize(model.projector(model.backbone(xva)), dim=1)
    knn = KNeighborsClassifier(5).fit(ztr.numpy(), ytr.numpy())
    return knn.score(zva.numpy(), yva.numpy()), ztr.std(0).mean().item() * ztr.shape[1] ** 0.5


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=40)
    ap.add_argument("--batch-size", type=int, default=128)
    ap.add_argument("--lr", type=float, default=0.05)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    d = load_digits()
    x = torch.tensor(d.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(d.target)
    xtr, xva, ytr, yva = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    model = SimSiam()
    opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs)
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for idx in torch.randperm(len(xtr)).split(args.batch_size)[:-1]:
            loss = model(augment(xtr[idx]), augment(xtr[idx]))
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses.append(loss.item())
        sched.step()
        if (epoch + 1) % 5 == 0:
            acc, spread = probe(model, xtr, ytr, xva, yva)
            print(f"epoch {epoch + 1:3d}  loss {sum(losses) / len(losses):.4f}  knn {acc:.4f}  spread {spread:.3f}")


if __name__ == "__main__":
    main()
