"""Spam filter: hashed word counts, linear classifier with soft margin loss."""

import argparse
import random
import zlib

import torch
from sklearn.metrics import classification_report
from torch import nn

SPAM = "winner prize free loan click urgent cash offer casino pills crypto bonus limited refund viagra".split()
HAM = "meeting report invoice lunch project thanks schedule review notes draft agenda family photos train call".split()
BOTH = (
    "please hello today you we your our this that time account mail week number find send see new list get make "
    "best price open help office next last good home"
).split()
BUCKETS = 256


def message(rng):
    spam = rng.random() < 0.45
    words = []
    for _ in range(rng.randint(10, 25)):
        r = rng.random()
        if r < 0.6:
            words.append(rng.choice(BOTH))
        elif r < 0.94:
            words.append(rng.choice(SPAM if spam else HAM))
        else:
            words.append(rng.choice(HAM if spam else SPAM))
    return " ".join(words), int(spam)


def vectorise(text):
    v = torch.zeros(BUCKETS)
    for w in text.split():
        v[zlib.crc32(w.encode()) % BUCKETS] += 1
    return v / v.norm()


def minibatches(x, y, size, shuffle):
    order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
    for i in range(0, len(x), size):
        yield x[order[i : i + size]], y[order[i : i + size]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    mails = [message(rng) for _ in range(3000)]
    x = torch.stack([vectorise(t) for t, _ in mails])
    y = torch.tensor([s for _, s in mails]).float()
    x_train, y_train, x_test, y_test = x[:2400], y[:2400], x[2400:], y[2400:]

    model = nn.Linear(BUCKETS, 1)
    criterion = nn.SoftMarginLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-5)

    for epoch in range(1, args.epochs + 1):
        losses = []
        for xb, yb in minibatches(x_train, y_train, 32, shuffle=True):
            score = model(xb).squeeze(1)
            loss = criterion(score, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            score = model(x_test).squeeze(1)
            test_loss = criterion(score, y_test).item()
            accuracy = ((score > 0) == (y_test > 0)).float().mean().item()
        print(
            f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}  test loss {test_loss:.4f}  accuracy {accuracy:.3f}"
        )
    print(classification_report((y_test > 0).int(), (score > 0).int(), target_names=["ham", "spam"], zero_division=0))


if __name__ == "__main__":
    main()
