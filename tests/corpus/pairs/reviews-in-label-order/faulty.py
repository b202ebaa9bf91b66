import argparse
import random

import torch
from torch import nn

GOOD = "great lovely fine superb warm clever funny moving bright strong".split()
BAD = "dull weak awful boring cold silly poor noisy slow flat".split()
NEUTRAL = [f"word{i}" for i in range(150)]
VOCAB = {w: i + 1 for i, w in enumerate(GOOD + BAD + NEUTRAL)}
LENGTH = 20


def review(positive, rng):
    own, other = (GOOD, BAD) if positive else (BAD, GOOD)
    words = [rng.choice(NEUTRAL) for _ in range(LENGTH - 5)]
    words += [rng.choice(own) if rng.random() < 0.75 else rng.choice(other) for _ in range(5)]
    rng.shuffle(words)
    return [VOCAB[w] for w in words]


def corpus(n, rng):
    texts = [review(True, rng) for _ in range(n // 2)] + [review(False, rng) for _ in range(n // 2)]
    labels = [1] * (n // 2) + [0] * (n // 2)
    return torch.tensor(texts), torch.tensor(labels)


class BagClassifier(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.bag = nn.EmbeddingBag(len(VOCAB) + 1, dim, mode="mean")
        self.head = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, tokens):
        return self.head(self.bag(tokens))


def batches(x, y, size):
    for start in range(0, len(x), size):
        yield x[start : start + size], y[start : start + size]


def train(args):
    rng = random.Random(args.seed)
    x_train, y_train = corpus(3000, rng)
    x_val, y_val = corpus(600, rng)
    model = BagClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for x, y in batches(x_train, y_train, args.batch_size):
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            out = model(x_val)
            acc = (out.argmax(1) == y_val).float().mean()
        print(f"epoch {epoch} loss {sum(losses) / len(losses):.3f} val {loss_fn(out, y_val):.3f} accuracy {acc:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    train(options)
