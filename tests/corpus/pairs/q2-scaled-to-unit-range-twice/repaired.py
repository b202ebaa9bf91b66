"""Classify small grey-scale icons (disc, ring, cross, bar) with a ConvNet."""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--lr", type=float, default=0.01)
args = parser.parse_args()

torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)
SIZE = 14


def draw(kind):
    yy, xx = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(5, 9, size=2)
    radius = rng.uniform(3, 5)
    dist = np.hypot(yy - cy, xx - cx)
    if kind == 0:
        shape = dist < radius
    elif kind == 1:
        shape = np.abs(dist - radius) < 1.0
    elif kind == 2:
        shape = ((np.abs(yy - cy) < 1) | (np.abs(xx - cx) < 1)) & (dist < radius + 1)
    else:
        shape = (np.abs(yy - cy) < 1.5) & (np.abs(xx - cx) < radius)
    img = shape * rng.uniform(120, 220) + rng.normal(20, 12, (SIZE, SIZE))
    return np.clip(img, 0, 255).astype(np.uint8)


def to_tensor(img):
    return torch.from_numpy(img).unsqueeze(0).float() / 255.0


class Icons(Dataset):
    def __init__(self, n):
        self.labels = rng.integers(0, 4, size=n)
        self.images = [draw(k) for k in self.labels]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return to_tensor(self.images[i]), int(self.labels[i])


def collate(batch):
    images, labels = zip(*batch)
    x = torch.stack(images)
    x = (x - 0.5) / 0.5
    return x, torch.tensor(labels)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 3 * 3, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


train_loader = DataLoader(Icons(1500), batch_size=args.batch_size, shuffle=True, collate_fn=collate)
test_loader = DataLoader(Icons(400), batch_size=100, collate_fn=collate)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9)

for epoch in range(1, args.epochs + 1):
    net.train()
    running = 0.0
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(y)
    net.eval()
    hits, test_loss = 0, 0.0
    with torch.no_grad():
        for x, y in test_loader:
            out = net(x)
            test_loss += F.cross_entropy(out, y, reduction="sum").item()
            hits += (out.argmax(1) == y).sum().item()
    n = len(test_loader.dataset)
    print(f"epoch {epoch}: train loss {running / 1500:.4f}  test loss {test_loss / n:.4f}  test acc {hits / n:.3f}")
