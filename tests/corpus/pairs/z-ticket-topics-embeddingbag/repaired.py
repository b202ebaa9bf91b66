"""Route support tickets to a team: bag of words, EmbeddingBag, one hidden layer."""

import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader

TEAMS = ["billing", "login", "shipping", "refund", "hardware", "network", "licence", "other"]
VOCAB = 600


def make_tickets(n, gen):
    # every team has its own 25 favourite words, the rest of the vocabulary is shared
    tickets = []
    for _ in range(n):
        team = int(torch.randint(len(TEAMS), (1,), generator=gen))
        length = int(torch.randint(8, 22, (1,), generator=gen))
        common = torch.randint(200, VOCAB, (length,), generator=gen)
        own = team * 25 + torch.randint(25, (length,), generator=gen)
        topical = torch.rand(length, generator=gen) < 0.3
        tickets.append((torch.where(topical, own, common), team))
    return tickets


def collate(batch):
    tokens = torch.cat([t for t, _ in batch])
    offsets = torch.tensor([0] + [len(t) for t, _ in batch[:-1]]).cumsum(0)
    labels = torch.tensor([y for _, y in batch])
    return tokens, offsets, labels


class TicketClassifier(nn.Module):
    def __init__(self, vocab, dim, classes):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab, dim, mode="mean")
        self.hidden = nn.Linear(dim, 48)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(48, classes)

    def forward(self, tokens, offsets):
        x = self.embedding(tokens, offsets)
        x = self.drop(torch.relu(self.hidden(x)))
        return self.out(x)


def train(model, loader, criterion, optimizer):
    model.train()
    total, n = 0.0, 0
    for tokens, offsets, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(tokens, offsets), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        n += len(labels)
    return total / n


@torch.no_grad()
def evaluate(model, loader, criterion):
    model.eval()
    total, hits, n = 0.0, 0, 0
    for tokens, offsets, labels in loader:
        out = model(tokens, offsets)
        total += criterion(out, labels).item() * len(labels)
        hits += (out.argmax(1) == labels).sum().item()
        n += len(labels)
    return total / n, hits / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    gen = torch.Generator().manual_seed(args.seed + 100)
    train_loader = DataLoader(make_tickets(3000, gen), args.batch_size, shuffle=True, collate_fn=collate)
    valid_loader = DataLoader(make_tickets(800, gen), 200, collate_fn=collate)

    model = TicketClassifier(VOCAB, 32, len(TEAMS))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train_loss = train(model, train_loader, criterion, optimizer)
        valid_loss, acc = evaluate(model, valid_loader, criterion)
        print(f"epoch {epoch}: train loss {train_loss:.4f}  valid loss {valid_loss:.4f}  valid acc {acc:.3f}")


if __name__ == "__main__":
    main()
