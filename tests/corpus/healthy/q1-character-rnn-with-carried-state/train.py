import argparse
import math
import random

import torch
import torch.nn as nn

SUBJECTS = ["the cat", "a dog", "my aunt", "the old man", "a bird"]
VERBS = ["sees", "likes", "follows", "calls", "finds"]
OBJECTS = ["the house", "a red ball", "the river", "some bread", "my friend"]


def write_text(sentences, rng):
    return "".join(f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)}. " for _ in range(sentences))


def columns(ids, n_columns):
    """Cut the text into parallel streams, time runs along the first axis."""
    length = len(ids) // n_columns
    return ids[: length * n_columns].view(n_columns, length).t().contiguous()


class CharGRU(nn.Module):
    def __init__(self, n_chars, hidden):
        super().__init__()
        self.embed = nn.Embedding(n_chars, 16)
        self.gru = nn.GRU(16, hidden)
        self.decoder = nn.Linear(hidden, n_chars)

    def forward(self, x, state):
        out, state = self.gru(self.embed(x), state)
        return self.decoder(out), state


def segments(stream, bptt):
    for i in range(0, len(stream) - 1, bptt):
        n = min(bptt, len(stream) - 1 - i)
        yield stream[i : i + n], stream[i + 1 : i + 1 + n]


def evaluate(model, stream, bptt, criterion):
    model.eval()
    state, total, count = None, 0.0, 0
    with torch.no_grad():
        for x, y in segments(stream, bptt):
            logits, state = model(x, state)
            total += criterion(logits.flatten(0, 1), y.flatten()).item() * y.numel()
            count += y.numel()
    return total / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--bptt", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    train_text, val_text = write_text(1600, rng), write_text(200, rng)
    chars = sorted(set(train_text))
    encode = lambda s: torch.tensor([chars.index(c) for c in s])
    train_stream, val_stream = columns(encode(train_text), 24), columns(encode(val_text), 8)

    model = CharGRU(len(chars), args.hidden)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(args.epochs):
        model.train()
        state, losses = None, []
        for x, y in segments(train_stream, args.bptt):
            if state is not None:
                state = state.detach()
            logits, state = model(x, state)
            loss = criterion(logits.flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        val = evaluate(model, val_stream, args.bptt, criterion)
        print(
            f"epoch {epoch + 1}: train {sum(losses) / len(losses):.4f}  val {val:.4f}  bits per char {val / math.log(2):.3f}"
        )


if __name__ == "__main__":
    main()
