"""Tag names and dates in made-up sentences: a bidirectional LSTM over padded words, loss without the padding."""

import argparse
import random

import torch
from torch import nn, optim
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

TITLES = ["mr", "mrs", "dr", "judge"]
NAMES = ["smith", "jones", "baker", "mason", "may", "march", "august", "young"]
MONTHS = ["may", "march", "august", "june", "july"]
NUMBERS = [str(i) for i in range(1, 29)]
OTHER = "met saw called and then in the house near a river while it rained with nobody around today".split()
TAGS = {"O": 0, "NAME": 1, "DATE": 2}
PAD = -100


def sentence(rng):
    words, tags = [], []
    for _ in range(rng.randint(2, 5)):
        kind = rng.choices(["other", "name", "date"], [0.5, 0.3, 0.2])[0]
        if kind == "name":
            words += [rng.choice(TITLES), rng.choice(NAMES)]
            tags += ["O", "NAME"]
        elif kind == "date":
            words += [rng.choice(MONTHS), rng.choice(NUMBERS)]
            tags += ["DATE", "DATE"]
        else:
            chunk = rng.choices(OTHER, k=rng.randint(1, 4))
            words += chunk
            tags += ["O"] * len(chunk)
    return words, tags


class Tagger(nn.Module):
    def __init__(self, n_words, dim=24, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(n_words, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, bidirectional=True, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(2 * hidden, len(TAGS))

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.embed(words), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.out(self.drop(states))


def f1(gold, guess, tag):
    hit = ((gold == tag) & (guess == tag)).sum().item()
    return 2 * hit / max(1, (gold == tag).sum().item() + (guess == tag).sum().item())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=6)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    index = {w: i + 1 for i, w in enumerate(sorted({*TITLES, *NAMES, *MONTHS, *NUMBERS, *OTHER}))}

    def collate(batch):
        words = [torch.tensor([index[w] for w in ws]) for ws, _ in batch]
        tags = [torch.tensor([TAGS[t] for t in ts]) for _, ts in batch]
        lengths = torch.tensor([len(w) for w in words])
        return pad_sequence(words, True), lengths, pad_sequence(tags, True, padding_value=PAD)

    train = DataLoader([sentence(rng) for _ in range(1500)], batch_size=32, shuffle=True, collate_fn=collate)
    dev = DataLoader([sentence(rng) for _ in range(300)], batch_size=100, collate_fn=collate)
    model = Tagger(len(index) + 1)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(1, args.epochs + 1):
        model.train()
        running = 0.0
        for words, lengths, tags in train:
            optimizer.zero_grad()
            loss = criterion(model(words, lengths).flatten(0, 1), tags.flatten())
            loss.backward()
            optimizer.step()
            running += loss.item()
        model.eval()
        gold, guess = [], []
        with torch.no_grad():
            for words, lengths, tags in dev:
                keep = tags != PAD
                gold.append(tags[keep])
                guess.append(model(words, lengths).argmax(-1)[keep])
        gold, guess = torch.cat(gold), torch.cat(guess)
        scores = "  ".join(f"{name} {f1(gold, guess, tag):.3f}" for name, tag in TAGS.items())
        print(f"Epoch {epoch} | train loss {running / len(train):.4f} | F1 {scores}")


if __name__ == "__main__":
    main()
