"""How well does an MLP learn from annotators who are wrong three times out of ten?"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def flip(labels, share, generator):
    """Replace a share of the labels by a different class, drawn evenly."""
    wrong = torch.rand(len(labels), generator=generator) < share
    shift = torch.randint(1, 10, (len(labels),), generator=generator)
    return torch.where(wrong, (labels + shift) % 10, labels)


parser = argparse.ArgumentParser()
parser.add_argument("--noise", type=float, default=0.3)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
generator = torch.Generator().manual_seed(args.seed)
order = torch.randperm(len(digits.target), generator=generator)
x = (torch.tensor(digits.data, dtype=torch.float32) / 16 - 0.3)[order]
y = torch.tensor(digits.target)[order]
train = TensorDataset(x[:1400], flip(y[:1400], args.noise, generator))
val = TensorDataset(x[1400:], y[1400:])
train_loader = DataLoader(train, batch_size=32, shuffle=True)
val_loader = DataLoader(val, batch_size=128)

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-4)
criterion = nn.CrossEntropyLoss()
for epoch in range(1, args.epochs + 1):
    model.train()
    loss_sum, hits = 0.0, 0
    for features, labels in train_loader:
        logits = model(features)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        hits += (logits.argmax(1) == labels).sum().item()
    model.eval()
    val_loss, val_hits = 0.0, 0
    with torch.no_grad():
        for features, labels in val_loader:
            logits = model(features)
            val_loss += criterion(logits, labels).item() * len(labels)
            val_hits += (logits.argmax(1) == labels).sum().item()
    print(f"epoch {epoch}: noisy train {loss_sum / len(train):.3f} {hits / len(train):.3f}", end="  ")
    print(f"clean val {val_loss / len(val):.3f} {val_hits / len(val):.3f}")
