"""Tell sine, square and sawtooth waves (noisy, random phase and frequency) apart with a GRU."""

import argparse
import math

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def make_waves(n, length=40):
    t = torch.linspace(0, 1, length)
    freq = torch.rand(n, 1) * 2 + 2
    phase = torch.rand(n, 1)
    kind = torch.randint(0, 3, (n,))
    arg = (t[None, :] * freq + phase) % 1.0
    sine = torch.sin(2 * math.pi * arg) * 1.41
    square = torch.where(arg < 0.5, 1.0, -1.0)
    saw = (2 * arg - 1) * 1.73
    waves = torch.stack([sine, square, saw], dim=1)
    x = waves[torch.arange(n), kind]
    x = x + 0.2 * torch.randn_like(x)
    return x.unsqueeze(-1), kind


class WaveGRU(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.head(out.mean(dim=1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--hidden", type=int, default=24)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=5e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, y = make_waves(2000)
train_set, val_set = random_split(TensorDataset(x, y), [1600, 400])
train_loader = DataLoader(train_set, batch_size=40, shuffle=True)
val_loader = DataLoader(val_set, batch_size=200)

model = WaveGRU(args.hidden)
opt = torch.optim.Adam(model.parameters(), lr=args.lr)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(args.epochs):
    model.train()
    losses = []
    for xb, yb in train_loader:
        opt.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        losses.append(loss.item())
    model.eval()
    hits, vloss = 0, 0.0
    with torch.no_grad():
        for xb, yb in val_loader:
            logits = model(xb)
            vloss += loss_fn(logits, yb).item() / len(val_loader)
            hits += (logits.argmax(-1) == yb).sum().item()
    print(f"epoch {epoch}: train {sum(losses) / len(losses):.3f} val {vloss:.3f} val acc {hits / len(val_set):.3f}")
