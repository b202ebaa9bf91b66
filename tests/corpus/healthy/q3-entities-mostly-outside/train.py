import argparse
import random

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader

LABELS = ["O", "B-PER", "I-PER", "B-LOC"]
FIRST = "anna peter maria john lena paul sofia omar".split()
LAST = "smith jones meyer rossi novak brown silva".split()
PLACES = "paris berlin rome lisbon vienna jordan brown".split()
WORDS = "yesterday met with about nothing new and then they talked while walking slowly home after work".split()


def sentence(rng):
    words, tags = [], []
    for _ in range(rng.randint(4, 9)):
        u = rng.random()
        if u < 0.12:
            words += [rng.choice(FIRST), rng.choice(LAST)]
            tags += ["B-PER", "I-PER"]
        elif u < 0.24:
            words += [rng.choice(["in", "from", "to"]), rng.choice(PLACES)]
            tags += ["O", "B-LOC"]
        else:
            words.append(rng.choice(WORDS))
            tags.append("O")
    return words, tags


class EntityTagger(nn.Module):
    def __init__(self, n_words):
        super().__init__()
        self.embed = nn.Embedding(n_words, 20, padding_idx=0)
        self.gru = nn.GRU(20, 20, bidirectional=True, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(40, len(LABELS))

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embed(x), lengths, batch_first=True, enforce_sorted=False)
        h, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return self.out(self.drop(h))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    data = [sentence(rng) for _ in range(1500)]
    train, dev = data[:1200], data[1200:]
    vocab = {w: i + 2 for i, w in enumerate(sorted({w for ws, _ in train for w in ws}))}

    def collate(batch):
        x = [torch.tensor([vocab.get(w, 1) for w in ws]) for ws, _ in batch]
        t = [torch.tensor([LABELS.index(k) for k in tags]) for _, tags in batch]
        lengths = torch.tensor([len(s) for s in x])
        return pad_sequence(x, batch_first=True), lengths, pad_sequence(t, batch_first=True, padding_value=-1)

    train_loader = DataLoader(train, batch_size=24, shuffle=True, collate_fn=collate)
    dev_loader = DataLoader(dev, batch_size=100, collate_fn=collate)
    model = EntityTagger(len(vocab) + 2)
    criterion = nn.CrossEntropyLoss(ignore_index=-1)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.85)

    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, lengths, t in train_loader:
            loss = criterion(model(x, lengths).transpose(1, 2), t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        model.eval()
        tp = fp = fn = 0
        with torch.no_grad():
            for x, lengths, t in dev_loader:
                p = model(x, lengths).argmax(-1)
                seen = t >= 0
                tp += ((p == t) & (t > 0)).sum().item()
                fp += ((p > 0) & (p != t) & seen).sum().item()
                fn += ((t > 0) & (p != t)).sum().item()
        print(f"epoch {epoch + 1}  loss {total / len(train_loader):.4f}  entity F1 {2 * tp / (2 * tp + fp + fn):.3f}")


if __name__ == "__main__":
    main()
