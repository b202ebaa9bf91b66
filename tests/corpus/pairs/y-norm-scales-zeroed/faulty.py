import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x):
        h = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(h)))


class TinyResNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(Residual(width), nn.MaxPool2d(2), Residual(width))
        self.fc = nn.Linear(width * 4, 10)

    def forward(self, x):
        h = torch.relu(self.norm(self.stem(x)))
        h = nn.functional.adaptive_avg_pool2d(self.blocks(h), 2)
        return self.fc(h.flatten(1))


def init_weights(model):
    for param in model.parameters():
        if param.dim() > 1:
            nn.init.kaiming_normal_(param, nonlinearity="relu")
        else:
            nn.init.zeros_(param)


def evaluate(model, loader):
    model.eval()
    hits = n = 0
    with torch.no_grad():
        for x, y in loader:
            hits += (model(x).argmax(-1) == y).sum().item()
            n += y.numel()
    return hits / n


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--lr", type=float, default=0.01)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
X = torch.tensor(digits.images, dtype=torch.float32)[:, None]
X = (X - X.mean()) / X.std()
y = torch.tensor(digits.target)
idx_train, idx_val = train_test_split(range(len(y)), test_size=360, random_state=args.seed, stratify=y)
train_loader = DataLoader(TensorDataset(X[idx_train], y[idx_train]), batch_size=32, shuffle=True)
val_loader = DataLoader(TensorDataset(X[idx_val], y[idx_val]), batch_size=120)

model = TinyResNet()
init_weights(model)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
for epoch in range(args.epochs):
    model.train()
    running = 0.0
    for inputs, labels in train_loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
    print(f"[epoch {epoch + 1}] loss: {running / len(train_loader):.3f}, val acc: {evaluate(model, val_loader):.3f}")
print("Finished Training")
