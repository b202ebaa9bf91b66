import argparse
import random

import torch
from torch import nn
from torch.utils.data import DataLoader

PAD, START, END = 0, 1, 2
LETTERS = 12
MAX_LENGTH = 30


def words(n, rng):
    return [[rng.randrange(3, 3 + LETTERS) for _ in range(rng.randint(2, 4))] for _ in range(n)]


def collate(batch):
    source = torch.full((len(batch), 5), PAD)
    target = torch.full((len(batch), MAX_LENGTH), PAD)
    for i, word in enumerate(batch):
        source[i, : len(word) + 1] = torch.tensor([*word, END])
        target[i, : len(word) + 2] = torch.tensor([START, *reversed(word), END])
    return source, target


class Seq2Seq(nn.Module):
    def __init__(self, dim=24, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(3 + LETTERS, dim, padding_idx=PAD)
        self.encoder = nn.GRU(dim, hidden, batch_first=True)
        self.decoder = nn.GRU(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 3 + LETTERS)

    def forward(self, source, shifted):
        _, state = self.encoder(self.embed(source))
        states, _ = self.decoder(self.embed(shifted), state)
        return self.out(states)


def accuracy(model, loader):
    """Share of the letters predicted rightly under teacher forcing."""
    model.eval()
    hits = total = 0
    with torch.no_grad():
        for source, target in loader:
            guess = model(source, target[:, :-1]).argmax(-1)
            real = target[:, 1:] != PAD
            hits += (guess == target[:, 1:])[real].sum().item()
            total += real.sum().item()
    return hits / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    train_loader = DataLoader(words(2400, rng), batch_size=50, shuffle=True, collate_fn=collate)
    val_loader = DataLoader(words(300, rng), batch_size=100, collate_fn=collate)
    model = Seq2Seq()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for source, target in train_loader:
            optimizer.zero_grad()
            logits = model(source, target[:, :-1])
            loss = criterion(logits.flatten(0, 1), target[:, 1:].flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(train_loader):.4f}, letter accuracy {accuracy(model, val_loader):.3f}")


if __name__ == "__main__":
    main()
