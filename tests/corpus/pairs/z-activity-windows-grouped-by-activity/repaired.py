"""Activity recognition: windows of a simulated accelerometer, one recording per activity."""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ACTIVITIES = ["rest", "walk", "run", "stairs", "bike", "jump"]


def recording(kind, n_windows, gen, length=32):
    t = torch.arange(length) / 16
    freq = [0.4, 1.0, 1.6, 1.0, 1.6, 0.4][kind] * (1 + 0.08 * torch.randn(n_windows, 1, generator=gen))
    amp = [0.3, 1.0, 1.0, 0.6, 0.6, 1.0][kind] * (1 + 0.1 * torch.randn(n_windows, 1, generator=gen))
    phase = 2 * math.pi * torch.rand(n_windows, 1, generator=gen)
    main = amp * torch.sin(2 * math.pi * freq * t + phase)
    side = 0.5 * amp * torch.cos(2 * math.pi * 2 * freq * t + phase)
    return torch.stack([main, side], 1) + 0.25 * torch.randn(n_windows, 2, length, generator=gen)


def build(n_windows, seed):
    gen = torch.Generator().manual_seed(seed)
    x = torch.cat([recording(k, n_windows, gen) for k in range(len(ACTIVITIES))])
    y = torch.arange(len(ACTIVITIES)).repeat_interleave(n_windows)
    return TensorDataset(x / 0.7, y)


def net():
    return nn.Sequential(
        nn.Conv1d(2, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(32, len(ACTIVITIES)),
    )


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--lr", type=float, default=0.02)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_ds, test_ds = build(400, 10 + args.seed), build(100, 900 + args.seed)
train_dl = DataLoader(train_ds, batch_size=args.batch_size, shuffle=True)
test_dl = DataLoader(test_ds, batch_size=200)
model = net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

for epoch in range(args.epochs):
    model.train()
    losses = []
    for xb, yb in train_dl:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    model.eval()
    correct, val_loss = 0, 0.0
    with torch.no_grad():
        for xb, yb in test_dl:
            out = model(xb)
            val_loss += criterion(out, yb).item() * len(yb)
            correct += (out.argmax(1) == yb).sum().item()
    print(
        f"epoch {epoch + 1:2d}  train loss {sum(losses) / len(losses):.3f}  "
        f"test loss {val_loss / len(test_ds):.3f}  test acc {correct / len(test_ds):.3f}"
    )
