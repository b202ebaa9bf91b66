import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset, Subset


class DigitImages(Dataset):
    def __init__(self):
        bunch = load_digits()
        self.images = (bunch.images.astype(np.float32) - 4.9) / 6.0
        self.targets = bunch.target

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return torch.from_numpy(self.images[index]).unsqueeze(0), int(self.targets[index])


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
    )


def evaluate(model, loader, criterion):
    model.eval()
    loss, correct, n = 0.0, 0, 0
    with torch.inference_mode():
        for images, targets in loader:
            outputs = model(images)
            loss += criterion(outputs, targets).item() * targets.size(0)
            correct += (outputs.argmax(1) == targets).sum().item()
            n += targets.size(0)
    return loss / n, correct / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default=0, type=int)
    parser.add_argument("--epochs", default=8, type=int)
    parser.add_argument("--max-lr", default=0.1, type=float)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = DigitImages()
    perm = torch.randperm(len(data)).tolist()
    train_loader = DataLoader(Subset(data, perm[:1400]), batch_size=28, shuffle=True)
    test_loader = DataLoader(Subset(data, perm[1400:]), batch_size=100)
    model = make_model()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.max_lr, momentum=0.9, weight_decay=1e-4)
    scheduler = OneCycleLR(optimizer, max_lr=args.max_lr, epochs=args.epochs, steps_per_epoch=len(train_loader))

    for epoch in range(args.epochs):
        model.train()
        running = 0.0
        for images, targets in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
            running += loss.item()
        test_loss, test_acc = evaluate(model, test_loader, criterion)
        print(
            f"epoch {epoch:2d} lr {scheduler.get_last_lr()[0]:.5f} train {running / len(train_loader):.3f} "
            f"test {test_loss:.3f} acc {test_acc:.3f}"
        )


if __name__ == "__main__":
    main()
