"""Sentiment of made-up reviews with an embedding and a small convolution."""

import argparse
import random

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

GOOD = "great lovely superb fun warm clever bright moving".split()
BAD = "dull awful flat boring cold silly grim lazy".split()
PLAIN = "the film plot actor scene music story was and very with a it had some of".split()
VOCAB = {w: i for i, w in enumerate(GOOD + BAD + PLAIN)}


def make_reviews(n, rng, length=14):
    X, y = [], []
    for _ in range(n):
        label = rng.randint(0, 1)
        words = rng.choices(PLAIN, k=length)
        for spot in rng.sample(range(length), 3):
            source = (GOOD if label else BAD) if rng.random() < 0.9 else (BAD if label else GOOD)
            words[spot] = rng.choice(source)
        X.append([VOCAB[w] for w in words])
        y.append(label)
    return TensorDataset(torch.tensor(X), torch.tensor(y))


class TextCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(len(VOCAB), 24)
        self.conv = nn.Conv1d(24, 32, kernel_size=3, padding=1)
        self.fc = nn.Linear(32, 2)

    def forward(self, tokens):
        x = self.emb(tokens).permute(0, 2, 1)
        x = torch.relu(self.conv(x)).max(dim=2).values
        return self.fc(x)


def train_one_epoch(model, loader, optimizer, criterion):
    model.train()
    total_loss = 0.0
    for tokens, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(tokens), labels)
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    return total_loss / len(loader)


@torch.no_grad()
def evaluate(model, loader, criterion):
    model.eval()
    total_loss, hits, n = 0.0, 0, 0
    for tokens, labels in loader:
        logits = model(tokens)
        total_loss += criterion(logits, labels).item()
        hits += (logits.argmax(1) == labels).sum().item()
        n += len(labels)
    return total_loss / len(loader), hits / n


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=8)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(make_reviews(1600, rng), batch_size=32, shuffle=True)
    val_loader = DataLoader(make_reviews(400, rng), batch_size=100)
    model, criterion = TextCNN(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(args.epochs):
        train_loss = train_one_epoch(model, train_loader, optimizer, criterion)
        val_loss, val_acc = evaluate(model, val_loader, criterion)
        print(f"Epoch {epoch + 1:02d} | train loss {train_loss:.3f} | val loss {val_loss:.3f} | val acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
