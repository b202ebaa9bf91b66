"""Character-level GRU with tied weights and truncated backpropagation on a made-up grammar."""

import argparse
import math
import random

import torch
import torch.nn as nn


def make_text(rng, n_sentences):
    subjects = ["the cat", "a dog", "the old man", "my sister", "the red fox"]
    verbs = ["sees", "likes", "follows", "paints", "hears"]
    objects = ["the river", "a small house", "the moon", "an apple", "the green tree"]
    ends = ["today", "at night", "again", "in the rain"]
    return " ".join(
        f"{rng.choice(subjects)} {rng.choice(verbs)} {rng.choice(objects)} {rng.choice(ends)}."
        for _ in range(n_sentences)
    )


class CharRNN(nn.Module):
    def __init__(self, vocab, dim):
        super().__init__()
        self.drop = nn.Dropout(0.1)
        self.encoder = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, dim)
        self.decoder = nn.Linear(dim, vocab)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x, hidden):
        out, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        return self.decoder(self.drop(out)), hidden


def batchify(data, batch_size):
    n = data.size(0) // batch_size
    return data[: n * batch_size].view(batch_size, -1).t().contiguous()


def evaluate(model, source, criterion, bptt):
    model.eval()
    total, hidden = 0.0, None
    with torch.no_grad():
        for i in range(0, source.size(0) - 1, bptt):
            n = min(bptt, source.size(0) - 1 - i)
            out, hidden = model(source[i : i + n], hidden)
            total += n * criterion(out.flatten(0, 1), source[i + 1 : i + 1 + n].flatten()).item()
    return total / (source.size(0) - 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--bptt", type=int, default=24)
    parser.add_argument("--clip", type=float, default=0.5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    text = make_text(rng, 900)
    chars = sorted(set(text))
    index = {c: i for i, c in enumerate(chars)}
    ids = torch.tensor([index[c] for c in text])
    split = int(0.9 * len(ids))
    train_data, val_data = batchify(ids[:split], 16), batchify(ids[split:], 8)

    model = CharRNN(len(chars), 64)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for epoch in range(1, args.epochs + 1):
        model.train()
        hidden, total, count = None, 0.0, 0
        for i in range(0, train_data.size(0) - 1, args.bptt):
            n = min(args.bptt, train_data.size(0) - 1 - i)
            x, y = train_data[i : i + n], train_data[i + 1 : i + 1 + n].reshape(-1)
            hidden = hidden.detach() if hidden is not None else None
            optimizer.zero_grad()
            out, hidden = model(x, hidden)
            loss = criterion(out.view(-1, len(chars)), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            total, count = total + loss.item(), count + 1
        val = evaluate(model, val_data, criterion, args.bptt)
        print(f"epoch {epoch} | loss {total / count:.3f} | valid loss {val:.3f} | valid ppl {math.exp(val):.2f}")


if __name__ == "__main__":
    main()
