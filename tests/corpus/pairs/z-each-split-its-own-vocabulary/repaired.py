"""Sentiment of short product reviews; word ids, mean of embeddings, small MLP."""

import argparse
import random
from collections import Counter

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

GOOD = "great lovely perfect sturdy quick happy bright excellent solid smooth comfy cheap".split()
BAD = "broken awful slow ugly flimsy late noisy dull cracked useless sticky faulty".split()
FILL = (
    "the a this that it was is and but with for my our item box shop order colour size day week phone cable "
    "chair table lamp shoe very quite really again after before when arrived bought gave came looks feels"
).split()


def write_review(rng):
    label = rng.randint(0, 1)
    words = [rng.choice(FILL) for _ in range(rng.randint(5, 14))]
    for _ in range(rng.randint(2, 4)):
        mood = label if rng.random() < 0.88 else 1 - label
        words.insert(rng.randrange(len(words)), rng.choice(GOOD if mood else BAD))
    return " ".join(words), label


class ReviewDataset(Dataset):
    def __init__(self, reviews, vocab=None):
        self.reviews = reviews
        if vocab is None:
            counts = Counter(w for text, _ in reviews for w in text.split())
            vocab = {w: n + 2 for n, (w, _) in enumerate(counts.most_common())}
        self.vocab = vocab

    def __len__(self):
        return len(self.reviews)

    def __getitem__(self, k):
        text, label = self.reviews[k]
        return torch.tensor([self.vocab.get(w, 1) for w in text.split()]), float(label)


def collate(batch):
    ids = pad_sequence([b[0] for b in batch], batch_first=True, padding_value=0)
    return ids, torch.tensor([b[1] for b in batch])


class Net(nn.Module):
    def __init__(self, n_words, dim=24):
        super().__init__()
        self.emb = nn.Embedding(n_words, dim, padding_idx=0)
        self.mlp = nn.Sequential(nn.Linear(dim, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, ids):
        mask = (ids != 0).unsqueeze(-1)
        mean = (self.emb(ids) * mask).sum(1) / mask.sum(1)
        return self.mlp(mean).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = random.Random(args.seed)

reviews = [write_review(rng) for _ in range(2600)]
train_ds = ReviewDataset(reviews[:2000])
valid_ds = ReviewDataset(reviews[2000:], vocab=train_ds.vocab)
train_dl = DataLoader(train_ds, batch_size=32, shuffle=True, collate_fn=collate)
valid_dl = DataLoader(valid_ds, batch_size=100, collate_fn=collate)

net = Net(len(train_ds.vocab) + 2)
loss_fn = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)

for epoch in range(args.epochs):
    net.train()
    seen = correct = 0
    for ids, y in train_dl:
        logits = net(ids)
        loss = loss_fn(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        correct += ((logits > 0).float() == y).sum().item()
        seen += len(y)
    net.eval()
    v_loss = v_correct = 0.0
    with torch.no_grad():
        for ids, y in valid_dl:
            logits = net(ids)
            v_loss += loss_fn(logits, y).item() * len(y)
            v_correct += ((logits > 0).float() == y).sum().item()
    print(
        f"{epoch + 1}: train acc {correct / seen:.3f} | valid loss {v_loss / len(valid_ds):.3f} "
        f"acc {v_correct / len(valid_ds):.3f}"
    )
