import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def sequences(n, length=24, symbols=12, generator=None):
    """The class is which of the symbols 0..2 occurs in the sequence; the others are noise."""
    tokens = torch.randint(3, symbols, (n, length), generator=generator)
    label = torch.randint(0, 3, (n,), generator=generator)
    place = torch.randint(0, length, (n,), generator=generator)
    tokens[torch.arange(n), place] = label
    return TensorDataset(tokens, label)


class AttentionClassifier(nn.Module):
    def __init__(self, symbols=12, dim=24, n_classes=3):
        super().__init__()
        self.embedding = nn.Embedding(symbols, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.score = nn.Linear(dim, 1)
        self.classifier = nn.Linear(dim, n_classes)

    def forward(self, tokens):
        states, _ = self.gru(self.embedding(tokens))
        scores = self.score(torch.tanh(states)).squeeze(-1)
        weights = torch.softmax(scores, dim=1)
        pooled = (weights.unsqueeze(-1) * states).sum(dim=1)
        return self.classifier(pooled)


def evaluate(model, loader, criterion):
    model.eval()
    loss, correct, n = 0.0, 0, 0
    with torch.no_grad():
        for tokens, label in loader:
            logits = model(tokens)
            loss += criterion(logits, label).item() * len(label)
            correct += (logits.argmax(1) == label).sum().item()
            n += len(label)
    model.train()
    return loss / n, correct / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(sequences(1500, generator=generator), batch_size=30, shuffle=True)
    val_loader = DataLoader(sequences(400, generator=generator), batch_size=80)
    model = AttentionClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, args.epochs + 1):
        total = 0.0
        for tokens, label in train_loader:
            loss = criterion(model(tokens), label)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        val_loss, val_acc = evaluate(model, val_loader, criterion)
        print(f"epoch {epoch}: train {total / len(train_loader):.4f} val loss {val_loss:.4f} val acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
