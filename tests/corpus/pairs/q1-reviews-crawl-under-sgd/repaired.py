import argparse
import random

import torch
import torch.nn as nn
import torch.optim as optim

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
args = parser.parse_args()
torch.manual_seed(args.seed)
random.seed(args.seed)

# ---- toy reviews -------------------------------------------------------
good = "great lovely superb charming witty moving brilliant fresh".split()
bad = "dull awful boring weak clumsy bland tedious stale".split()
filler = (
    "the film a plot was and with actors story of scene music it very in "
    "some had by camera end first hour cast director"
).split()


def review(label):
    words = random.choices(filler, k=random.randint(6, 14))
    own, other = (good, bad) if label == 1 else (bad, good)
    words += random.choices(own, k=random.randint(2, 3))
    if random.random() < 0.2:
        words.append(random.choice(other))
    random.shuffle(words)
    return words


labels = [random.randint(0, 1) for _ in range(2500)]
texts = [review(y) for y in labels]
vocab = {w: i for i, w in enumerate(sorted(set(good + bad + filler)))}
train, test = list(zip(texts, labels))[:2000], list(zip(texts, labels))[2000:]


def to_batch(rows):
    flat, offsets = [], []
    for words, _ in rows:
        offsets.append(len(flat))
        flat.extend(vocab[w] for w in words)
    return torch.tensor(flat), torch.tensor(offsets), torch.tensor([y for _, y in rows]).float()


class BagOfWords(nn.Module):
    def __init__(self, n_words, dim=32):
        super().__init__()
        self.emb = nn.EmbeddingBag(n_words, dim, mode="mean")
        self.fc1 = nn.Linear(dim, 32)
        self.fc2 = nn.Linear(32, 1)

    def forward(self, flat, offsets):
        h = torch.relu(self.fc1(self.emb(flat, offsets)))
        return self.fc2(h).squeeze(1)


net = BagOfWords(len(vocab))
criterion = nn.BCEWithLogitsLoss()
optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

for epoch in range(args.epochs):
    net.train()
    random.shuffle(train)
    running = 0.0
    for i in range(0, len(train), 50):
        flat, offsets, y = to_batch(train[i : i + 50])
        optimizer.zero_grad()
        loss = criterion(net(flat, offsets), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    net.eval()
    with torch.no_grad():
        flat, offsets, y = to_batch(test)
        out = net(flat, offsets)
        acc = ((out > 0).float() == y).float().mean().item()
        vloss = criterion(out, y).item()
    print("Epoch %d: loss %.4f, test loss %.4f, test acc %.3f" % (epoch + 1, running / (len(train) / 50), vloss, acc))
