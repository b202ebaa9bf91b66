import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit
from torch.utils.data import DataLoader, Dataset


class DigitsDataset(Dataset):
    def __init__(self, indices, transform=None):
        data = load_digits()
        self.images = data.images[indices]
        self.targets = data.target[indices]
        self.transform = transform

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, idx):
        image = torch.tensor(self.images[idx], dtype=torch.float32).unsqueeze(0)
        if self.transform:
            image = self.transform(image)
        return image, int(self.targets[idx])


def normalise(image):
    return (image - 4.9) / 6.0


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(256, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        return self.fc2(torch.relu(self.fc1(x.reshape(len(x), -1))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=0.05)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    labels = load_digits().target
    splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=args.seed)
    train_idx, val_idx = next(splitter.split(labels, labels))
    train_loader = DataLoader(DigitsDataset(train_idx, normalise), batch_size=64, shuffle=True)
    val_loader = DataLoader(DigitsDataset(val_idx, normalise), batch_size=64)

    model = CNN()
    criterion = nn.CrossEntropyLoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        epoch_loss = 0.0
        for images, targets in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), targets)
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, targets in val_loader:
                correct += (model(images).argmax(1) == targets).sum().item()
        print(f"epoch {epoch}: loss {epoch_loss / len(train_loader):.4f}  val acc {correct / len(val_idx):.4f}")


if __name__ == "__main__":
    main()
