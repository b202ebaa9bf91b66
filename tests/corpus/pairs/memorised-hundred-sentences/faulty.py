import argparse
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

N_WORDS, LENGTH = 600, 16


def sentences(n, rng):
    """Words 0..39 lean positive, 40..79 negative, the rest say nothing."""
    texts, labels = [], []
    for _ in range(n):
        label = rng.randrange(2)
        text = [rng.randrange(80, N_WORDS) for _ in range(LENGTH - 3)]
        for _ in range(3):
            side = label if rng.random() < 0.8 else 1 - label
            text.append(rng.randrange(40) + 40 * side)
        texts.append(text)
        labels.append(float(label))
    return TensorDataset(torch.tensor(texts), torch.tensor(labels))


class SentenceModel(nn.Module):
    def __init__(self, dim=128, hidden=256, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(N_WORDS, dim)
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, text):
        mean = self.dropout(self.embedding(text).mean(dim=1))
        return self.fc2(self.dropout(torch.relu(self.fc1(mean)))).squeeze(1)


def loop(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    loss_sum = hits = n = 0
    for text, label in loader:
        with torch.set_grad_enabled(optimizer is not None):
            logit = model(text)
            loss = criterion(logit, label)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_sum += loss.item() * len(label)
        hits += ((logit > 0) == (label > 0.5)).sum().item()
        n += len(label)
    return loss_sum / n, hits / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n-train", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(sentences(args.n_train, rng), batch_size=24, shuffle=True)
    val_loader = DataLoader(sentences(500, rng), batch_size=250)
    model = SentenceModel()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train_loss, train_acc = loop(model, train_loader, criterion, optimizer)
        val_loss, val_acc = loop(model, val_loader, criterion)
        print(f"epoch {epoch}: train {train_loss:.4f}/{train_acc:.3f}, val {val_loss:.4f}/{val_acc:.3f}")


if __name__ == "__main__":
    main()
