import argparse
import random

import torch
import torch.nn.functional as F
from torch import nn

GROUPS = [
    "king queen prince duke court".split(),
    "apple pear plum cherry grape".split(),
    "car truck bus tram bicycle".split(),
    "red green blue yellow purple".split(),
    "dog cat horse cow sheep".split(),
]
GLUE = "the a of and with near some".split()
WORDS = [w for g in GROUPS for w in g] + GLUE
ID = {w: i for i, w in enumerate(WORDS)}


def corpus(sentences, rng):
    for _ in range(sentences):
        group = rng.choice(GROUPS)
        yield [ID[rng.choice(group if rng.random() < 0.6 else GLUE)] for _ in range(8)]


def skip_grams(sentences, window=2):
    pairs = []
    for s in sentences:
        for i, centre in enumerate(s):
            for j in range(max(0, i - window), min(len(s), i + window + 1)):
                if i != j:
                    pairs.append((centre, s[j]))
    return torch.tensor(pairs)


class SkipGram(nn.Module):
    def __init__(self, n, dim):
        super().__init__()
        self.centre = nn.Embedding(n, dim)
        self.context = nn.Embedding(n, dim)
        nn.init.uniform_(self.centre.weight, -0.5 / dim, 0.5 / dim)
        nn.init.zeros_(self.context.weight)

    def forward(self, centre, context, negatives):
        c = self.centre(centre)
        positive = (c * self.context(context)).sum(1)
        negative = torch.einsum("bd,bkd->bk", c, self.context(negatives))
        return -(F.logsigmoid(positive) + F.logsigmoid(-negative).sum(1)).mean()


def purity(vectors):
    """Share of the words whose nearest other word is of their own group."""
    v = F.normalize(vectors[: len(WORDS) - len(GLUE)])
    near = (v @ v.t() - 2 * torch.eye(len(v))).argmax(1)
    return (near // 5 == torch.arange(len(v)) // 5).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()
torch.manual_seed(args.seed)
pairs = skip_grams(corpus(1500, random.Random(args.seed)))
counts = torch.bincount(pairs[:, 1], minlength=len(WORDS)).float() ** 0.75
model = SkipGram(len(WORDS), 16)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
print(f"{len(pairs)} pairs of {len(WORDS)} words")
for epoch in range(args.epochs):
    total = 0.0
    batches = torch.randperm(len(pairs)).split(256)
    for rows in batches:
        centre, context = pairs[rows].unbind(1)
        negatives = torch.multinomial(counts, len(rows) * 5, replacement=True).view(-1, 5)
        loss = model(centre, context, negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch} loss {total / len(batches):.4f} purity {purity(model.centre.weight.detach()):.2f}")
