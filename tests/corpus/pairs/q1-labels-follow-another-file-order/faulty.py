import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, Subset


def read_folder():
    """Stands in for a folder img_0.png ... img_1796.png with a labels.csv beside it."""
    digits = load_digits()
    files = {f"img_{i}.png": img for i, img in enumerate(digits.images)}
    return files, [int(t) for t in digits.target]


class FolderDataset(Dataset):
    def __init__(self):
        files, labels = read_folder()
        names = sorted(files)
        self.images = [files[n] for n in names]
        self.labels = labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = torch.tensor(self.images[index], dtype=torch.float32)[None] / 16.0
        return (image - 0.5) / 0.5, self.labels[index]


class LeNetish(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
        self.fc1 = nn.Linear(24 * 4, 48)
        self.fc2 = nn.Linear(48, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


class Trainer:
    def __init__(self, model, train_loader, val_loader, lr):
        self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
        self.opt = torch.optim.Adam(model.parameters(), lr=lr)

    def train_epoch(self):
        self.model.train()
        total = 0.0
        for images, labels in self.train_loader:
            self.opt.zero_grad()
            loss = F.cross_entropy(self.model(images), labels)
            loss.backward()
            self.opt.step()
            total += loss.item()
        return total / len(self.train_loader)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        loss = hits = n = 0
        for images, labels in self.val_loader:
            logits = self.model(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            hits += (logits.argmax(-1) == labels).sum().item()
            n += len(labels)
        return loss / n, hits / n

    def fit(self, epochs):
        for epoch in range(epochs):
            train_loss = self.train_epoch()
            val_loss, val_acc = self.validate()
            print(f"Epoch {epoch + 1}: train_loss={train_loss:.4f} val_loss={val_loss:.4f} val_acc={val_acc:.2%}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = FolderDataset()
    order = torch.randperm(len(data)).tolist()
    train_loader = DataLoader(Subset(data, order[:1400]), batch_size=32, shuffle=True)
    val_loader = DataLoader(Subset(data, order[1400:]), batch_size=128)
    Trainer(LeNetish(), train_loader, val_loader, args.lr).fit(args.epochs)


if __name__ == "__main__":
    main()
