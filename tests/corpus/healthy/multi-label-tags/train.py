import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

TAGS = 8


class TagEncoder(nn.Module):
    """Bag of words to tag logits; the last tags are rare."""

    def __init__(self, vocab, dim=32):
        super().__init__()
        self.embed = nn.EmbeddingBag(vocab, dim, mode="mean")
        self.mlp = nn.Sequential(nn.Linear(dim, 48), nn.LeakyReLU(), nn.Linear(48, TAGS))

    def forward(self, words):
        return self.mlp(self.embed(words))


def documents(n, vocab, length=24):
    frequency = torch.linspace(0.45, 0.1, TAGS)
    tags = (torch.rand(n, TAGS) < frequency).float()
    words = torch.randint(TAGS * 6, vocab, (n, length))
    for tag in range(TAGS):
        rows = tags[:, tag].bool()
        slots = torch.arange(3) + 3 * tag
        own = torch.randint(tag * 6, tag * 6 + 6, (n, 3))
        words[:, slots] = torch.where(rows[:, None], own, words[:, slots])
    # annotators disagree now and then
    tags = torch.where(torch.rand(n, TAGS) < 0.04, 1 - tags, tags)
    return words, tags


def micro_f1(logits, tags):
    guess = logits > 0
    true = tags > 0.5
    hit = (guess & true).sum().item()
    return 2 * hit / max(1, guess.sum().item() + true.sum().item())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    vocab = 150
    train = DataLoader(TensorDataset(*documents(2400, vocab)), batch_size=48, shuffle=True)
    val_words, val_tags = documents(600, vocab)

    model = TagEncoder(vocab)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for words, tags in train:
            optimizer.zero_grad()
            loss = criterion(model(words), tags)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            logits = model(val_words)
            val_loss = criterion(logits, val_tags).item()
        print(
            f"epoch {epoch + 1:2d} loss {total / len(train):.4f} val {val_loss:.4f} F1 {micro_f1(logits, val_tags):.3f}"
        )


if __name__ == "__main__":
    main()
