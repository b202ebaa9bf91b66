import argparse
import copy

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.data import DataLoader, TensorDataset


class SmallResNet(nn.Module):
    def __init__(self, w=16):
        super().__init__()
        self.stem = nn.Conv2d(1, w, 3, padding=1, bias=False)
        self.a = nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(), nn.Conv2d(w, w, 3, padding=1, bias=False))
        self.b = nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(), nn.Conv2d(w, w, 3, padding=1, bias=False))
        self.tail = nn.Sequential(
            nn.BatchNorm2d(w), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * w, 10)
        )

    def forward(self, x):
        x = self.stem(x)
        x = x + self.a(x)
        x = x + self.b(x)
        return self.tail(x)


@torch.no_grad()
def probabilities(model, loader):
    model.eval()
    return torch.cat([model(x).softmax(1) for x, _ in loader])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--cycle-epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x.reshape(-1, 1, 8, 8) / 16.0, dtype=torch.float32)
    y = torch.tensor(y)
    xtr, xva, ytr, yva = train_test_split(x, y, test_size=0.3, random_state=args.seed, stratify=y)
    train = DataLoader(TensorDataset(xtr, ytr), batch_size=64, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(xva, yva), batch_size=270)

    model = SmallResNet()
    opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    sched = CosineAnnealingWarmRestarts(opt, T_0=args.cycle_epochs)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    snapshots = []
    for epoch in range(args.cycles * args.cycle_epochs):
        model.train()
        running = 0.0
        for i, (xb, yb) in enumerate(train):
            opt.zero_grad(set_to_none=True)
            loss = criterion(model(xb), yb)
            loss.backward()
            opt.step()
            sched.step(epoch + (i + 1) / len(train))
            running += loss.item()
        acc = accuracy_score(yva, probabilities(model, val).argmax(1))
        print(f"epoch {epoch + 1:2d}  loss {running / len(train):.4f}  val acc {acc:.4f}")
        if (epoch + 1) % args.cycle_epochs == 0:
            snapshots.append(copy.deepcopy(model))
            mean = torch.stack([probabilities(m, val) for m in snapshots]).mean(0)
            print(f"  snapshot {len(snapshots)}, ensemble acc {accuracy_score(yva, mean.argmax(1)):.4f}")


if __name__ == "__main__":
    main()
