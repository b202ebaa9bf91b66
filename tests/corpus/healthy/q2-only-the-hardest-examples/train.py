import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class HardExampleLoss(nn.Module):
    """Mean over the worst part of the batch; the part shrinks over the epochs."""

    def __init__(self):
        super().__init__()
        self.part = 1.0

    def forward(self, logits, target):
        each = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        k = max(1, int(self.part * len(each)))
        return each.topk(k).values.mean()


def prepare(seed):
    x, y = make_classification(
        5000, 16, n_informative=8, n_redundant=2, weights=[0.8], class_sep=1.6, flip_y=0.0, random_state=seed
    )
    x = torch.tensor(x, dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32)
    x = (x - x[:4000].mean(0)) / x[:4000].std(0)
    return TensorDataset(x[:4000], y[:4000]), (x[4000:], y[4000:])


def train_epoch(net, loader, criterion, optimizer):
    net.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(x).squeeze(1), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=14)
    p.add_argument("--keep", type=float, default=0.4)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    train_set, (xv, yv) = prepare(args.seed)
    loader = DataLoader(train_set, batch_size=100, shuffle=True)
    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    criterion = HardExampleLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-4)
    for epoch in range(args.epochs):
        criterion.part = max(args.keep, 1.0 - 0.1 * epoch)
        hard = train_epoch(net, loader, criterion, optimizer)
        net.eval()
        with torch.no_grad():
            z = net(xv).squeeze(1)
        val = nn.functional.binary_cross_entropy_with_logits(z, yv).item()
        ap = average_precision_score(yv.numpy(), z.numpy())
        acc = ((z > 0).float() == yv).float().mean().item()
        print(
            f"epoch {epoch + 1:2d}  hardest {criterion.part:.0%}: {hard:.4f}  val {val:.4f}  AP {ap:.3f}  acc {acc:.3f}"
        )


if __name__ == "__main__":
    main()
