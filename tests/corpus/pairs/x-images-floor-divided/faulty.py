import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class EightBitDigits(Dataset):
    def __init__(self, images, targets):
        self.images = images
        self.targets = targets

    def __len__(self):
        return len(self.images)

    def __getitem__(self, idx):
        image = torch.from_numpy(self.images[idx])
        image = (image // 255).float()
        return image.unsqueeze(0), int(self.targets[idx])


class LeNetish(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.fc1 = nn.Linear(16 * 3 * 3, 48)
        self.fc2 = nn.Linear(48, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def accuracy(model, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for images, targets in loader:
            correct += (model(images).argmax(dim=1) == targets).sum().item()
    return correct / len(loader.dataset)


def main(args):
    torch.manual_seed(args.seed)
    bunch = load_digits()
    images = (bunch.images * 15).astype(np.uint8)
    order = np.random.default_rng(args.seed).permutation(len(images))
    train_idx, val_idx = order[:1400], order[1400:]
    train = DataLoader(EightBitDigits(images[train_idx], bunch.target[train_idx]), batch_size=32, shuffle=True)
    val = DataLoader(EightBitDigits(images[val_idx], bunch.target[val_idx]), batch_size=200)

    model = LeNetish()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        epoch_loss = 0.0
        for images_, targets in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images_), targets)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        print(f"{epoch}/{args.epochs} loss: {epoch_loss / len(train):.4f}, val accuracy: {accuracy(model, val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    main(parser.parse_args())
