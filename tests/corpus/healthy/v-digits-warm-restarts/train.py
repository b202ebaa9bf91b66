import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser(description="SGDR on digits")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=14, help="2 + 4 + 8")
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--t0", type=int, default=2)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_digits()
x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
x = (x - 0.305) / 0.376
full = TensorDataset(x, torch.tensor(data.target))
train_set, val_set = random_split(full, [1400, len(full) - 1400])
train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
val_loader = DataLoader(val_set, batch_size=100)

net = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1, bias=False),
    nn.BatchNorm2d(12),
    nn.ReLU(),
    nn.Conv2d(12, 24, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(24),
    nn.ReLU(),
    nn.Conv2d(24, 32, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(32, 10),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
iters = len(train_loader)
scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=args.t0 * iters, T_mult=2, eta_min=1e-4)

for epoch in range(args.epochs):
    net.train()
    first_lr = optimizer.param_groups[0]["lr"]
    train_loss = 0.0
    for i, (inputs, targets) in enumerate(train_loader):
        optimizer.zero_grad()
        loss = criterion(net(inputs), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        train_loss += loss.item()
    net.eval()
    val_loss, correct = 0.0, 0
    with torch.no_grad():
        for inputs, targets in val_loader:
            outputs = net(inputs)
            val_loss += criterion(outputs, targets).item()
            correct += (outputs.argmax(1) == targets).sum().item()
    print(
        "epoch %2d  lr %.4f  train %.4f  val %.4f  acc %.2f%%"
        % (epoch + 1, first_lr, train_loss / iters, val_loss / len(val_loader), 100 * correct / len(val_set))
    )
