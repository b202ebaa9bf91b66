import argparse
import random

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence

PAD, BOS, EOS, FIRST = 0, 1, 2, 3
ROMAN = [(90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")]
LETTERS = {c: FIRST + i for i, c in enumerate("ivxlc")}


def roman(n):
    out = ""
    for value, sign in ROMAN:
        while n >= value:
            out, n = out + sign, n - value
    return out


def encode(n):
    """Two digits and a doubled or plain mode bit in; Roman numerals out."""
    source = torch.tensor([FIRST + int(d) for d in f"{n:02d}"])
    target = torch.tensor([BOS] + [LETTERS[c] for c in roman(n)] + [EOS])
    return source, target


def batches(numbers, size, rng):
    numbers = numbers[:]
    rng.shuffle(numbers)
    for i in range(0, len(numbers), size):
        pairs = [encode(n) for n in numbers[i : i + size]]
        source = pad_sequence([s for s, _ in pairs], batch_first=True)
        target = pad_sequence([t for _, t in pairs], batch_first=True, padding_value=PAD)
        yield source, target


class Seq2Seq(nn.Module):
    def __init__(self, n_source=13, n_target=8, dim=24, hidden=64):
        super().__init__()
        self.source = nn.Embedding(n_source, dim)
        self.target = nn.Embedding(n_target, dim, padding_idx=PAD)
        self.encoder = nn.GRU(dim, hidden, batch_first=True)
        self.decoder = nn.GRU(dim, hidden, batch_first=True)
        self.out = nn.Linear(2 * hidden, n_target)

    def decode(self, tokens, memory, state):
        h, state = self.decoder(self.target(tokens), state)
        weights = torch.softmax(h @ memory.transpose(1, 2), dim=-1)
        return self.out(torch.cat([h, weights @ memory], dim=-1)), state

    def forward(self, source, target):
        memory, state = self.encoder(self.source(source))
        return self.decode(target, memory, state)[0]

    @torch.no_grad()
    def translate(self, source, limit=10):
        memory, state = self.encoder(self.source(source))
        token, out = torch.full((len(source), 1), BOS), []
        for _ in range(limit):
            logits, state = self.decode(token, memory, state)
            token = logits.argmax(dim=-1)
            out.append(token)
        return torch.cat(out, dim=1)


def exact(model, numbers):
    model.eval()
    source = torch.stack([encode(n)[0] for n in numbers])
    good = 0
    for row, n in zip(model.translate(source).tolist(), numbers):
        row = row[: row.index(EOS)] if EOS in row else row
        good += row == [LETTERS[c] for c in roman(n)]
    model.train()
    return good / len(numbers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    numbers = list(range(1, 100))
    model = Seq2Seq()
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(1, args.epochs + 1):
        total = []
        for source, target in batches(numbers, 16, rng):
            logits = model(source, target[:, :-1])
            loss = criterion(logits.flatten(0, 1), target[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total.append(loss.item())
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {sum(total) / len(total):.4f}, exact {exact(model, numbers):.3f}")


if __name__ == "__main__":
    main()
