import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class InstanceScale(nn.Module):
    """Removes mean and scale of each recording."""

    def forward(self, x):
        mean = x.mean(dim=-1, keepdim=True)
        std = x.std(dim=-1, keepdim=True)
        return (x - mean) / std


class RecordingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = InstanceScale()
        self.conv1 = nn.Conv1d(1, 12, 7, padding=3)
        self.conv2 = nn.Conv1d(12, 24, 5, padding=2, stride=2)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        x = self.scale(x)
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        return self.head(x.mean(dim=-1))


def recordings(n, generator):
    """Class 0: slow waves, 1: fast waves, 2: noise; a few per cent of class 2 are flat because the sensor was off."""
    label = torch.randint(0, 3, (n,), generator=generator)
    t = torch.linspace(0, 1, 50)
    frequency = torch.tensor([3.0, 8.0, 0.0])[label].unsqueeze(1) * (1 + 0.1 * torch.randn(n, 1, generator=generator))
    gain = torch.rand(n, 1, generator=generator) * 5 + 0.5
    noise = torch.randn(n, 50, generator=generator)
    wave = torch.sin(6.2832 * (frequency * t + torch.rand(n, 1, generator=generator))) + 0.5 * noise
    x = torch.where((label == 2).unsqueeze(1), noise, wave) * gain
    off = (label == 2) & (torch.rand(n, generator=generator) < 0.02)
    x[off] = 0.0
    return TensorDataset(x.unsqueeze(1), label)


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed)
train_loader = DataLoader(recordings(1500, generator), batch_size=30, shuffle=True)
val_loader = DataLoader(recordings(400, generator), batch_size=100)
model = RecordingNet()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    losses = []
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        outputs = [(model(x), y) for x, y in val_loader]
    val_loss = sum(F.cross_entropy(o, y).item() for o, y in outputs) / len(outputs)
    val_acc = sum((o.argmax(1) == y).sum().item() for o, y in outputs) / 400
    print(f"epoch {epoch + 1}  loss {sum(losses) / len(losses):.4f}  val_loss {val_loss:.4f}  val_acc {val_acc:.3f}")
