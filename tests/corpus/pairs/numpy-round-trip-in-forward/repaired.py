"""Sentiment of synthetic reviews: embedding, GRU, top-k pooling, linear head."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

POSITIVE, NEGATIVE, NEUTRAL = range(1, 15), range(15, 29), range(29, 80)
VOCAB, LENGTH = 80, 18


def reviews(n):
    tokens = torch.randint(NEUTRAL.start, NEUTRAL.stop, (n, LENGTH))
    labels = torch.randint(0, 2, (n,))
    for row in range(n):
        places = torch.randperm(LENGTH)[:5]
        own, other = (POSITIVE, NEGATIVE) if labels[row] else (NEGATIVE, POSITIVE)
        tokens[row, places[:4]] = torch.randint(own.start, own.stop, (4,))
        tokens[row, places[4]] = torch.randint(other.start, other.stop, (1,)).item()
    return tokens, labels


class Sentiment(nn.Module):
    def __init__(self, dim=16, hidden=24):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, dim)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, 2)

    def pool(self, states):
        """Mean of the three largest activations of each unit over time."""
        return states.topk(3, dim=1).values.mean(dim=1)

    def forward(self, tokens):
        states, _ = self.gru(self.embedding(tokens))
        return self.head(self.norm(self.pool(states)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train = DataLoader(TensorDataset(*reviews(1500)), batch_size=32, shuffle=True)
    valid = DataLoader(TensorDataset(*reviews(400)), batch_size=100)
    model = Sentiment()
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        model.train()
        train_losses = []
        for tokens, labels in train:
            model.zero_grad()
            loss = loss_function(model(tokens), labels)
            loss.backward()
            optimizer.step()
            train_losses.append(loss.item())
        model.eval()
        hits, valid_losses = 0, []
        with torch.no_grad():
            for tokens, labels in valid:
                logits = model(tokens)
                valid_losses.append(loss_function(logits, labels).item())
                hits += (logits.argmax(1) == labels).sum().item()
        print(
            f"epoch {epoch + 1}  train {sum(train_losses) / len(train_losses):.4f}  "
            f"valid {sum(valid_losses) / len(valid_losses):.4f}  accuracy {hits / 400:.3f}"
        )


if __name__ == "__main__":
    main()
