import argparse
import random

import torch
import torch.nn as nn

TOPICS = {
    0: "match goal team coach league score player season win cup".split(),
    1: "market stock bank price trade profit share growth rate fund".split(),
    2: "software code data chip network cloud server user device model".split(),
    3: "film actor song album stage director scene music show award".split(),
}
FILLER = "the a of and in to for on with at by from as is was it that this".split()
VOCAB = {w: i for i, w in enumerate(sorted(set(sum(TOPICS.values(), FILLER))))}


def make_corpus(n, rng):
    texts, labels = [], []
    for _ in range(n):
        label = rng.randrange(4)
        words = [rng.choice(FILLER) for _ in range(rng.randint(8, 16))]
        words += rng.choices(TOPICS[label], k=3) + [rng.choice(TOPICS[rng.randrange(4)]) for _ in range(3)]
        rng.shuffle(words)
        texts.append([VOCAB[w] for w in words])
        labels.append(label)
    return texts, labels


def batches(texts, labels, batch_size, shuffle):
    order = list(range(len(texts)))
    if shuffle:
        random.shuffle(order)
    for start in range(0, len(order), batch_size):
        idx = order[start : start + batch_size]
        offsets = torch.tensor([0] + [len(texts[i]) for i in idx[:-1]]).cumsum(0)
        tokens = torch.tensor([t for i in idx for t in texts[i]])
        yield tokens, offsets, torch.tensor([labels[i] for i in idx])


class TextClassifier(nn.Module):
    def __init__(self, vocab_size, dim, classes):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, dim, mode="mean")
        self.hidden = nn.Linear(dim, 32)
        self.fc = nn.Linear(32, classes)
        self.log_softmax = nn.LogSoftmax(dim=1)

    def forward(self, tokens, offsets):
        h = torch.relu(self.hidden(self.embedding(tokens, offsets)))
        return self.log_softmax(self.fc(h))


def evaluate(model, texts, labels, criterion):
    model.eval()
    loss = correct = 0
    with torch.no_grad():
        for tokens, offsets, y in batches(texts, labels, 128, shuffle=False):
            out = model(tokens, offsets)
            loss += criterion(out, y).item() * len(y)
            correct += (out.argmax(1) == y).sum().item()
    return loss / len(labels), correct / len(labels)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--lr", type=float, default=5e-3)
args = parser.parse_args()
random.seed(args.seed)
torch.manual_seed(args.seed)

rng = random.Random(args.seed)
train_texts, train_labels = make_corpus(2400, rng)
valid_texts, valid_labels = make_corpus(600, rng)

model = TextClassifier(len(VOCAB), 24, 4)
criterion = nn.NLLLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

for epoch in range(1, args.epochs + 1):
    model.train()
    total = 0.0
    for tokens, offsets, y in batches(train_texts, train_labels, 32, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(tokens, offsets), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
    valid_loss, valid_acc = evaluate(model, valid_texts, valid_labels, criterion)
    print(f"| epoch {epoch} | loss {total / len(train_labels):8.3f} | valid {valid_loss:8.3f} | acc {valid_acc:.3f}")
