"""Topics of short messages with an embedding bag: variable lengths, flat tokens and offsets."""

import argparse
import random
from collections import Counter

import torch
from torch import nn
from torch.utils.data import DataLoader

TOPICS = {
    "sport": "match goal team coach league score final player win cup".split(),
    "food": "recipe oven salt butter soup bake dinner taste spice bread".split(),
    "travel": "flight hotel beach ticket map tour island train border guide".split(),
    "money": "bank loan tax rate stock fund price market budget pay".split(),
}
COMMON = "the a and of to in it is for on we that with this very good new old".split()


def write_message(rng):
    topic = rng.randrange(len(TOPICS))
    own, other = list(TOPICS.values())[topic], list(TOPICS.values())[rng.randrange(len(TOPICS))]
    words = rng.choices(COMMON, k=rng.randint(4, 12)) + rng.choices(own, k=rng.randint(1, 4)) + rng.choices(other, k=1)
    rng.shuffle(words)
    return " ".join(words), topic


class Vocabulary:
    def __init__(self, texts, smallest=2):
        counts = Counter(w for t in texts for w in t.split())
        self.index = {w: i + 1 for i, (w, c) in enumerate(counts.most_common()) if c >= smallest}

    def __len__(self):
        return len(self.index) + 1

    def encode(self, text):
        return [self.index.get(w, 0) for w in text.split()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    messages = [write_message(rng) for _ in range(2500)]
    train, valid = messages[:2000], messages[2000:]
    vocabulary = Vocabulary(text for text, _ in train)

    def collate(batch):
        tokens = [vocabulary.encode(text) for text, _ in batch]
        offsets = torch.tensor([0] + [len(t) for t in tokens[:-1]]).cumsum(0)
        return torch.tensor(sum(tokens, [])), offsets, torch.tensor([topic for _, topic in batch])

    train_loader = DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)
    valid_loader = DataLoader(valid, batch_size=100, collate_fn=collate)
    bag, head = nn.EmbeddingBag(len(vocabulary), 24, mode="mean"), nn.Linear(24, len(TOPICS))
    optimizer = torch.optim.Adagrad([*bag.parameters(), *head.parameters()], lr=0.1)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, args.epochs + 1):
        losses = []
        for tokens, offsets, topic in train_loader:
            optimizer.zero_grad()
            loss = criterion(head(bag(tokens, offsets)), topic)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            hits = sum((head(bag(t, o)).argmax(1) == y).sum().item() for t, o, y in valid_loader)
        print(f"epoch {epoch} | loss {sum(losses) / len(losses):.4f} | valid accuracy {hits / len(valid):.3f}")


if __name__ == "__main__":
    main()
