import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


def draw(kind, rng):
    """A 16x16 grey image with a filled square, a disc, a cross or stripes."""
    img = rng.integers(0, 60, size=(16, 16)).astype(np.float64)
    size = rng.integers(3, 6)
    r, c = rng.integers(5, 11, size=2)
    yy, xx = np.mgrid[:16, :16]
    if kind == 0:
        mask = (abs(yy - r) < size) & (abs(xx - c) < size)
    elif kind == 1:
        mask = (yy - r) ** 2 + (xx - c) ** 2 < size**2
    elif kind == 2:
        mask = ((abs(yy - r) < 2) & (abs(xx - c) < size)) | ((abs(xx - c) < 2) & (abs(yy - r) < size))
    else:
        mask = ((yy + c) % 4 < 2) & (abs(xx - c) < size + 2)
    img[mask] = rng.integers(120, 256)
    return img.astype(np.uint8)


class Shapes(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 4, size=n)
        self.images = [draw(k, rng) for k in self.labels]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = (torch.from_numpy(self.images[i]).float().unsqueeze(0) / 255 - 0.3) / 0.3
        return image, int(self.labels[i])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def evaluate(model, loader):
    model.eval()
    loss = correct = 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            loss += F.cross_entropy(out, y, reduction="sum").item()
            correct += (out.argmax(1) == y).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_loader = DataLoader(Shapes(1600, args.seed), batch_size=32, shuffle=True)
    val_loader = DataLoader(Shapes(400, args.seed + 1000), batch_size=200)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        val_loss, val_acc = evaluate(model, val_loader)
        print(f"{epoch}: train loss {total / len(train_loader):.4f}  val loss {val_loss:.4f}  val acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
