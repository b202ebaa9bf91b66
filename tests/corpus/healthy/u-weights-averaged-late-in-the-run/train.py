import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler
from torch import nn, optim
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader, TensorDataset


def net():
    return nn.Sequential(
        nn.Linear(24, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 4),
    )


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    loss = hits = n = 0
    for x, y in loader:
        out = model(x)
        loss += nn.functional.cross_entropy(out, y, reduction="sum").item()
        hits += (out.argmax(1) == y).sum().item()
        n += len(y)
    return loss / n, hits / n


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=14)
    ap.add_argument("--swa-start", type=int, default=9)
    ap.add_argument("--lr", type=float, default=0.05)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    x, y = make_classification(
        4000,
        24,
        n_informative=10,
        n_redundant=4,
        n_classes=4,
        n_clusters_per_class=1,
        class_sep=1.4,
        flip_y=0.02,
        random_state=args.seed,
    )
    x = StandardScaler().fit(x[:3200]).transform(x)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    train = DataLoader(TensorDataset(x[:3200], y[:3200]), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(x[3200:], y[3200:]), batch_size=400)

    model = net()
    averaged = AveragedModel(model)
    opt = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    cosine = optim.lr_scheduler.CosineAnnealingLR(opt, T_max=args.swa_start, eta_min=0.005)
    swa = SWALR(opt, swa_lr=0.02, anneal_epochs=2)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for xb, yb in train:
            loss = nn.functional.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        vl, va = evaluate(model, val)
        print(
            f"epoch {epoch + 1:2d} lr {opt.param_groups[0]['lr']:.4f} train {total / len(train):.4f} "
            f"val {vl:.4f} acc {va:.4f}"
        )
        if epoch >= args.swa_start:
            averaged.update_parameters(model)
            swa.step()
        else:
            cosine.step()
    update_bn(train, averaged)
    vl, va = evaluate(averaged, val)
    print(f"averaged weights: val {vl:.4f} acc {va:.4f}")


if __name__ == "__main__":
    main()
