import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def arrow(direction, generator):
    """A 12x12 image of an arrow: 0 left, 1 right, 2 up, 3 down."""
    image = torch.zeros(12, 12)
    row = int(torch.randint(3, 9, (1,), generator=generator))
    start = int(torch.randint(1, 4, (1,), generator=generator))
    image[row, start : start + 8] = 1.0
    for k in (1, 2):
        image[row - k, start + k] = 1.0
        image[row + k, start + k] = 1.0
    turns = {0: 0, 3: 1, 1: 2, 2: 3}[direction]
    return torch.rot90(image, turns) + 0.2 * torch.randn(12, 12, generator=generator)


class Arrows(Dataset):
    def __init__(self, n, generator, augment=False):
        self.labels = torch.randint(0, 4, (n,), generator=generator).tolist()
        self.images = [arrow(k, generator).unsqueeze(0) for k in self.labels]
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = self.images[i]
        if self.augment:
            shift = torch.randint(-1, 2, (2,)).tolist()
            image = image.roll(shift, dims=(1, 2))
        return image, self.labels[i]


def accuracy_and_loss(net, loader):
    net.eval()
    hits, loss = 0, 0.0
    with torch.no_grad():
        for image, label in loader:
            logits = net(image)
            hits += (logits.argmax(1) == label).sum().item()
            loss += nn.functional.cross_entropy(logits, label, reduction="sum").item()
    return hits / len(loader.dataset), loss / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(Arrows(1200, generator, augment=True), batch_size=30, shuffle=True)
    val_loader = DataLoader(Arrows(300, generator), batch_size=150)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 9, 4),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(1, args.epochs + 1):
        net.train()
        running = 0.0
        for image, label in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(image), label)
            loss.backward()
            optimizer.step()
            running += loss.item()
        acc, val_loss = accuracy_and_loss(net, val_loader)
        print(f"epoch {epoch} train loss {running / len(train_loader):.4f} val loss {val_loss:.4f} val acc {acc:.3f}")


if __name__ == "__main__":
    main()
