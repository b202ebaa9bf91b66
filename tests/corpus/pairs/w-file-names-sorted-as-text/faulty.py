import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset


def open_archive(seed):
    """Stands for a zip of images and the list of annotations that comes with it."""
    d = load_digits()
    order = np.random.default_rng(seed).permutation(len(d.target))
    archive = {f"img_{k}.png": (d.images[i] * 15.9).astype(np.uint8) for k, i in enumerate(order)}
    annotations = [(f"img_{k}.png", int(d.target[i])) for k, i in enumerate(order)]
    return archive, annotations


class ImageFolder(Dataset):
    def __init__(self, archive, annotations):
        self.images = [archive[name] for name in sorted(archive)]
        self.labels = [label for _, label in annotations]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        img = torch.from_numpy(self.images[index]).float().div(255).unsqueeze(0)
        return (img - 0.3) / 0.37, self.labels[index]


class LeNetish(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 12, 3, padding=1)
        self.c2 = nn.Conv2d(12, 24, 3)
        self.f1 = nn.Linear(24 * 9, 48)
        self.f2 = nn.Linear(48, 10)
        self.drop = nn.Dropout(0.25)

    def forward(self, x):
        x = torch.relu(self.c1(x))
        x = nn.functional.max_pool2d(torch.relu(self.c2(x)), 2)
        x = self.drop(x.flatten(1))
        return self.f2(torch.relu(self.f1(x)))


def train(model, device, loader, optimizer, epoch):
    model.train()
    for batch_idx, (data, target) in enumerate(loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()
        if batch_idx % 20 == 0:
            print(f"Train Epoch: {epoch} [{batch_idx * len(data)}/{len(loader.dataset)}]\tLoss: {loss.item():.6f}")


def test(model, device, loader):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data.to(device))
            loss += nn.functional.cross_entropy(output, target, reduction="sum").item()
            correct += (output.argmax(1) == target).sum().item()
    n = len(loader.dataset)
    print(f"Test set: average loss {loss / n:.4f}, accuracy {correct}/{n} ({100.0 * correct / n:.1f}%)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = torch.device("cpu")
    full = ImageFolder(*open_archive(args.seed))
    train_loader = DataLoader(Subset(full, range(1400)), batch_size=32, shuffle=True)
    test_loader = DataLoader(Subset(full, range(1400, len(full))), batch_size=200)
    model = LeNetish().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train(model, device, train_loader, optimizer, epoch)
        test(model, device, test_loader)


if __name__ == "__main__":
    main()
