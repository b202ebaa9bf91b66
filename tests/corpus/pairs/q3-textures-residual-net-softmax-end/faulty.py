import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser(description="residual network on oriented gratings")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=7)
parser.add_argument("--lr", type=float, default=0.02)
args = parser.parse_args()
torch.manual_seed(args.seed)

NUM_CLASSES = 10


def gratings(n, size=12):
    y = torch.randint(0, NUM_CLASSES, (n,))
    angle = y * torch.pi / NUM_CLASSES + 0.04 * torch.randn(n)
    freq = 0.9 + 0.2 * torch.rand(n)
    phase = 2 * torch.pi * torch.rand(n)
    g = torch.arange(size) - size / 2
    u = torch.cos(angle)[:, None, None] * g[None, :, None] + torch.sin(angle)[:, None, None] * g[None, None, :]
    x = torch.sin(freq[:, None, None] * u + phase[:, None, None]) + 0.6 * torch.randn(n, size, size)
    return x.unsqueeze(1), y


class ResidualBlock(nn.Module):
    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(cin, cout, 3, stride, 1, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(),
            nn.Conv2d(cout, cout, 3, 1, 1, bias=False),
            nn.BatchNorm2d(cout),
        )
        self.skip = nn.Identity()
        if stride != 1 or cin != cout:
            self.skip = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


model = nn.Sequential(
    nn.Conv2d(1, 8, 5, padding=2),
    nn.ReLU(),
    ResidualBlock(8, 8),
    ResidualBlock(8, 16, 2),
    ResidualBlock(16, 24, 2),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(24, NUM_CLASSES),
    nn.Softmax(dim=1),
)

x, y = gratings(2400)
train_set, val_set = random_split(TensorDataset(x, y), [2000, 400])
train_dl = DataLoader(train_set, batch_size=50, shuffle=True)
val_dl = DataLoader(val_set, batch_size=200)

criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)

for epoch in range(args.epochs):
    model.train()
    running = 0.0
    for xb, yb in train_dl:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        running += loss.item()
    model.eval()
    val_loss = correct = 0
    with torch.no_grad():
        for xb, yb in val_dl:
            out = model(xb)
            val_loss += criterion(out, yb).item() * len(yb)
            correct += (out.argmax(1) == yb).sum().item()
    print(
        f"epoch {epoch + 1}  train {running / len(train_dl):.3f}  val {val_loss / len(val_set):.3f}  "
        f"val acc {correct / len(val_set):.3f}"
    )
