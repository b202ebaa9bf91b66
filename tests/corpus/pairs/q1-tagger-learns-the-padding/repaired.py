import argparse
import random

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

TAGS = ["O", "PER", "LOC", "ORG"]
PAD_WORD, PAD_TAG = 0, 0
MAX_LEN = 64


class Sentences(Dataset):
    """Words 1-30 are plain, 31-90 are names whose tag depends on the word before."""

    def __init__(self, n, rng):
        self.rows = []
        for _ in range(n):
            words, tags = [], []
            for _ in range(rng.randint(3, 6)):
                if rng.random() < 0.45:
                    cue = rng.randint(1, 9)
                    words += [cue, rng.randint(31, 90)]
                    tags += [0, 1 + (cue - 1) // 3]
                else:
                    words.append(rng.randint(10, 30))
                    tags.append(0)
            self.rows.append((words, [t + 1 for t in tags]))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        words, tags = self.rows[i]
        x = torch.full((MAX_LEN,), PAD_WORD)
        y = torch.full((MAX_LEN,), PAD_TAG)
        x[: len(words)] = torch.tensor(words)
        y[: len(tags)] = torch.tensor(tags)
        return x, y


class Tagger(nn.Module):
    def __init__(self, n_words=91, emb=16, hidden=20):
        super().__init__()
        self.embedding = nn.Embedding(n_words, emb, padding_idx=PAD_WORD)
        self.lstm = nn.LSTM(emb, hidden, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * hidden, len(TAGS) + 1)

    def forward(self, x):
        h, _ = self.lstm(self.embedding(x))
        return self.out(h)


def entity_f1(pred, gold):
    is_word = gold != PAD_TAG
    pred, gold = pred[is_word], gold[is_word]
    tp = ((pred == gold) & (gold > 1)).sum().item()
    found, wanted = (pred > 1).sum().item(), (gold > 1).sum().item()
    return 2 * tp / max(found + wanted, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=0.15)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    train_loader = DataLoader(Sentences(1200, rng), batch_size=24, shuffle=True)
    dev_loader = DataLoader(Sentences(200, rng), batch_size=200)
    model = Tagger()
    criterion = nn.CrossEntropyLoss(ignore_index=PAD_TAG)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x).flatten(0, 1), y.flatten())
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            x, y = next(iter(dev_loader))
            scores = model(x)
            dev_loss = criterion(scores.flatten(0, 1), y.flatten()).item()
            f1 = entity_f1(scores.argmax(-1), y)
        print(
            f"epoch {epoch + 1}: loss {total / len(train_loader):.4f}  dev loss {dev_loss:.4f}  dev entity F1 {f1:.3f}"
        )


if __name__ == "__main__":
    main()
