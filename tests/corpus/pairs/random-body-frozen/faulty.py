import argparse
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LENGTH, VOCAB = 14, 60


def commands(n, rng):
    """Class 1 if the word 3 comes before the word 4, class 0 if after; all else is filler."""
    rows, labels = [], []
    for _ in range(n):
        words = [rng.randrange(5, VOCAB) for _ in range(LENGTH)]
        i, j = sorted(rng.sample(range(LENGTH), 2))
        label = rng.randrange(2)
        words[i], words[j] = (3, 4) if label else (4, 3)
        rows.append(words)
        labels.append(label if rng.random() > 0.03 else 1 - label)
    return TensorDataset(torch.tensor(rows), torch.tensor(labels))


class CommandClassifier(nn.Module):
    def __init__(self, dim=32, hidden=48):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, dim)
        self.encoder = nn.LSTM(dim, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 2)
        # only the head is trained, as in the transfer-learning tutorial
        self.embedding.requires_grad_(False)
        self.encoder.requires_grad_(False)

    def forward(self, x):
        _, (h, _) = self.encoder(self.embedding(x))
        return self.head(h[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(commands(3000, rng), batch_size=40, shuffle=True)
    val_loader = DataLoader(commands(400, rng), batch_size=100)
    model = CommandClassifier()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        running_loss, running_hits = 0.0, 0
        for words, label in train_loader:
            optimizer.zero_grad()
            logits = model(words)
            loss = criterion(logits, label)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(label)
            running_hits += (logits.argmax(1) == label).sum().item()
        model.eval()
        val_loss, val_hits = 0.0, 0
        with torch.no_grad():
            for words, label in val_loader:
                logits = model(words)
                val_loss += criterion(logits, label).item() * len(label)
                val_hits += (logits.argmax(1) == label).sum().item()
        print(f"epoch {epoch + 1} train {running_loss / 3000:.3f} {running_hits / 3000:.3f}", end="  ")
        print(f"val {val_loss / 400:.3f} {val_hits / 400:.3f}")


if __name__ == "__main__":
    main()
