import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Compose:
    def __init__(self, *steps):
        self.steps = steps

    def __call__(self, image):
        for step in self.steps:
            image = step(image)
        return image


def to_tensor(image):
    return torch.as_tensor(image, dtype=torch.float32).unsqueeze(0)


def jitter(image):
    return torch.roll(image, int(torch.randint(-1, 2, (1,))), dims=2)


def normalise(image):
    return (image / 255.0 - 0.3) / 0.37


class Digits(Dataset):
    def __init__(self, train, transform):
        digits = load_digits()
        rows = [i for i in range(len(digits.target)) if (i % 5 > 0) == train]
        self.images = (digits.images[rows] * (255.0 / 16.0)).round()
        self.labels = digits.target[rows]
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(self.images[i]), int(self.labels[i])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_transform = Compose(to_tensor, jitter, normalise)
    val_transform = Compose(to_tensor, normalise)
    train_loader = DataLoader(Digits(True, train_transform), batch_size=32, shuffle=True)
    val_loader = DataLoader(Digits(False, val_transform), batch_size=90)

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        train_loss = 0.0
        for images, labels in train_loader:
            loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        val_loss, hits = 0.0, 0
        with torch.no_grad():
            for images, labels in val_loader:
                logits = model(images)
                val_loss += criterion(logits, labels).item() / len(val_loader)
                hits += (logits.argmax(1) == labels).sum().item()
        accuracy = hits / len(val_loader.dataset)
        print(f"epoch {epoch}: train loss {train_loss:.4f}, val loss {val_loss:.4f}, val accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
