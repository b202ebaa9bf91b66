import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset, random_split


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(512, 10))

    def forward(self, x):
        return self.head(self.block(self.stem(x)))


def train_epoch(model, loader, criterion, optimizer):
    model.train()
    running = 0.0
    for images, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), targets)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / len(loader)


def evaluate(model, loader, criterion):
    model.eval()
    running, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, targets in loader:
            outputs = model(images)
            running += criterion(outputs, targets).item() * targets.size(0)
            correct += outputs.argmax(dim=1).eq(targets).sum().item()
            seen += targets.size(0)
    return running / seen, 100.0 * correct / seen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    dataset = TensorDataset(images, torch.tensor(digits.target))
    train_set, val_set = random_split(dataset, [1437, 360])
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=180)
    print(f"{len(train_loader)} training batches, {len(val_loader)} validation batches")

    model = ConvNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    best = 0.0
    for epoch in range(args.epochs):
        train_loss = train_epoch(model, train_loader, criterion, optimizer)
        val_loss, val_acc = evaluate(model, val_loader, criterion)
        best = max(best, val_acc)
        print(f"Epoch [{epoch + 1}/{args.epochs}] train {train_loss:.4f} val {val_loss:.4f}", end=" ")
        print(f"acc {val_acc:.2f}% best {best:.2f}%")


if __name__ == "__main__":
    main()
