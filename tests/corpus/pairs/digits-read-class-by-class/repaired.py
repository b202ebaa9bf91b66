import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset


class DigitFolders(Dataset):
    """Digits the way a folder per class yields them: all zeros, then all ones, and so on."""

    def __init__(self, split):
        digits = load_digits()
        self.samples = []
        for label in range(10):
            images = digits.images[digits.target == label] / 16.0
            kept = [image for i, image in enumerate(images) if (i % 5 == 0) == (split == "test")]
            self.samples += [(image, label) for image in kept]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        image, label = self.samples[index]
        return torch.tensor(image, dtype=torch.float32)[None], label


class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(32 * 16, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_loader = DataLoader(DigitFolders("train"), batch_size=32, shuffle=True)
test_loader = DataLoader(DigitFolders("test"), batch_size=64)
model = SmallCNN()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)

for epoch in range(args.epochs):
    model.train()
    running_loss = 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()

    model.eval()
    correct, test_loss = 0, 0.0
    with torch.no_grad():
        for images, labels in test_loader:
            outputs = model(images)
            test_loss += criterion(outputs, labels).item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
    n = len(test_loader.dataset)
    train_loss = running_loss / len(train_loader)
    print(f"Epoch {epoch + 1} train {train_loss:.4f} test {test_loss / n:.4f} acc {correct / n:.2%}")
