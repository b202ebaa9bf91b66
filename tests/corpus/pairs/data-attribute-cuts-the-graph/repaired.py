import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class ConvFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3)
        self.bn1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 24, 3)
        self.bn2 = nn.BatchNorm2d(24)

    def forward(self, x):
        x = F.leaky_relu(self.bn1(self.conv1(x)), 0.1)
        x = F.leaky_relu(self.bn2(self.conv2(x)), 0.1)
        return F.adaptive_avg_pool2d(x, 2).flatten(1)


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = ConvFeatures()
        self.classifier = nn.Sequential(nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 10))

    def forward(self, x):
        z = self.features(x)
        # keep the embedding on the unit sphere, scaled
        z = z / z.norm(dim=1, keepdim=True).clamp(min=1e-6) * 8.0
        return self.classifier(z)


def loop(model, loader, optimizer=None):
    total, correct, count = 0.0, 0, 0
    for x, y in loader:
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * y.size(0)
        correct += logits.argmax(1).eq(y).sum().item()
        count += y.size(0)
    return total / count, 100.0 * correct / count


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    x = (x - 0.3) / 0.38
    y = torch.tensor(data.target)
    order = torch.randperm(len(x))
    train_idx, val_idx = order[:1400], order[1400:]
    train_loader = DataLoader(TensorDataset(x[train_idx], y[train_idx]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[val_idx], y[val_idx]), batch_size=100)

    model = DigitNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        train_loss, train_acc = loop(model, train_loader, optimizer)
        model.eval()
        with torch.no_grad():
            val_loss, val_acc = loop(model, val_loader)
        print(f"{epoch + 1:3d} | {train_loss:.3f} {train_acc:5.1f}% | {val_loss:.3f} {val_acc:5.1f}%")
