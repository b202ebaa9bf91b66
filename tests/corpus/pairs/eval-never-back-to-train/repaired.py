import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def textures(n, size=12):
    """Four textures at random phase: stripes across, stripes down, checks, dots."""
    y = torch.randint(0, 4, (n,))
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    shift = torch.randint(0, 4, (n, 2, 1, 1))
    a, b = (yy + shift[:, 0]) % 4 < 2, (xx + shift[:, 1]) % 4 < 2
    kinds = torch.stack([a, b, a ^ b, a & b], dim=1).float()
    images = kinds[torch.arange(n), y].unsqueeze(1) - 0.5
    return images + 0.8 * torch.randn(n, 1, size, size), y


class TextureNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.fc = nn.Sequential(nn.Flatten(), nn.Dropout(0.25), nn.Linear(128, 4))

    def forward(self, x):
        return self.fc(self.conv(x))


def evaluate(model, loader, criterion):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for images, labels in loader:
            outputs = model(images)
            loss += criterion(outputs, labels).item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_loader = DataLoader(TensorDataset(*textures(1200)), batch_size=32, shuffle=True, drop_last=True)
val_loader = DataLoader(TensorDataset(*textures(300)), batch_size=100)
model = TextureNet()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    running_loss = 0.0
    for images, labels in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    val_loss, val_acc = evaluate(model, val_loader, criterion)
    print(
        f"Epoch {epoch + 1}: loss {running_loss / len(train_loader):.4f} val loss {val_loss:.4f} val acc {val_acc:.3f}"
    )
