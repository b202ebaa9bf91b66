import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class Classifier(nn.Module):
    def __init__(self, p=0.4):
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
        self.block2 = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2))
        self.dropout = nn.Dropout(p)
        self.fc = nn.Linear(32 * 4, 10)

    def forward(self, x):
        x = self.block2(self.block1(x))
        return self.fc(self.dropout(x.flatten(1)))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=2e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

bunch = load_digits()
images = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1).div(16).sub(0.5).div(0.5)
full = TensorDataset(images, torch.tensor(bunch.target))
train_ds, val_ds = random_split(full, [1400, len(full) - 1400])
train_dl = DataLoader(train_ds, batch_size=50, shuffle=True)
val_dl = DataLoader(val_ds, batch_size=50)

model = Classifier()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    train_loss = 0.0
    for x, y in train_dl:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * x.size(0)

    val_loss, n_right = 0.0, 0
    with torch.no_grad():
        for x, y in val_dl:
            scores = model(x)
            val_loss += criterion(scores, y).item() * x.size(0)
            n_right += (scores.argmax(dim=1) == y).sum().item()

    train_loss /= len(train_ds)
    val_loss /= len(val_ds)
    print(f"Epoch: {epoch + 1} \tTraining Loss: {train_loss:.6f} \tValidation Loss: {val_loss:.6f}")
    print(f"\tcorrect: {n_right}/{len(val_ds)}")
