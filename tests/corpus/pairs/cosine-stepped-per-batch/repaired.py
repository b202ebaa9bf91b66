"""Which topic dominates a token sequence? A tiny transformer encoder."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH, VOCAB, CLASSES = 16, 40, 4


def sequences(n):
    """Ten tokens to each topic; six tokens of a sequence are of its own topic, the others of any."""
    y = torch.randint(0, CLASSES, (n,))
    x = torch.randint(0, VOCAB, (n, LENGTH))
    for row in range(n):
        places = torch.randperm(LENGTH)[:6]
        x[row, places] = 10 * y[row] + torch.randint(0, 10, (6,))
    return x, y


class TinyTransformer(nn.Module):
    def __init__(self, dim=32, heads=2):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, dim))
        layer = nn.TransformerEncoderLayer(dim, heads, dim_feedforward=64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2)
        self.classify = nn.Linear(dim, CLASSES)

    def forward(self, x):
        h = self.encoder(self.tokens(x) + self.positions)
        return self.classify(h.mean(dim=1))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--lr", type=float, default=2e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_set = TensorDataset(*sequences(2560))
val_x, val_y = sequences(512)
loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)

model = TinyTransformer()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)

for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for x, y in loader:
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    scheduler.step()
    model.eval()
    with torch.no_grad():
        logits = model(val_x)
    val_loss = criterion(logits, val_y).item()
    val_acc = (logits.argmax(-1) == val_y).float().mean().item()
    print(f"epoch {epoch + 1:2d} | train {total / len(loader):.3f} | val {val_loss:.3f} | acc {val_acc:.3f}")
