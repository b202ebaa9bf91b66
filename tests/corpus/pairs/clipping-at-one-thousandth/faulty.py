"""Next-character model on a small artificial language."""

import argparse
import random

import torch
from torch import nn

NAMES = ["the cat", "a dog", "my bird", "one fox", "the old owl"]
VERBS = ["sees", "likes", "finds", "hears"]
THINGS = ["the moon", "a river", "green hills", "some bread", "a stone"]


def make_text(sentences, rng):
    return " ".join(f"{rng.choice(NAMES)} {rng.choice(VERBS)} {rng.choice(THINGS)}." for _ in range(sentences))


class CharModel(nn.Module):
    def __init__(self, vocab, dim=24, hidden=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.decoder = nn.Linear(hidden, vocab)

    def forward(self, tokens):
        states, _ = self.lstm(self.embed(tokens))
        return self.decoder(states)


def sample_batch(ids, batch_size, length):
    starts = torch.randint(0, len(ids) - length - 1, (batch_size,))
    chunk = torch.stack([ids[s : s + length + 1] for s in starts])
    return chunk[:, :-1], chunk[:, 1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--clip", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    text = make_text(1500, random.Random(args.seed))
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    cut = int(0.9 * len(ids))
    train_ids, valid_ids = ids[:cut], ids[cut:]

    model = CharModel(len(chars))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.5)
    model.train()
    running = 0.0
    for step in range(1, args.steps + 1):
        inputs, targets = sample_batch(train_ids, 16, 32)
        loss = criterion(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        running += loss.item()
        if step % 50 == 0:
            model.eval()
            with torch.no_grad():
                inputs, targets = sample_batch(valid_ids, 32, 32)
                valid = criterion(model(inputs).flatten(0, 1), targets.flatten()).item()
            model.train()
            print(f"step {step:4d}  train {running / 50:.3f}  valid {valid:.3f}")
            running = 0.0


if __name__ == "__main__":
    main()
