import argparse
import random

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

TOPICS = {
    "harbour": "VESSEL BERTH PILOT ANCHOR CARGO TUG MOORING CRANE".split(),
    "weather": "GALE FOG RAIN PRESSURE FRONT SNOW ICE WIND".split(),
    "medical": "FEVER DOCTOR PATIENT WOUND BANDAGE PULSE DOSE CLINIC".split(),
    "supply": "FLOUR COAL BOOTS CRATES ROPE PAINT LAMP SOAP".split(),
}
COMMON = "STOP REQUEST SEND ARRIVE TODAY TOMORROW URGENT PLEASE TEN FIVE NORTH SOUTH REPORT NEED".split()


def write_message(rng, topic):
    others = [w for t, ws in TOPICS.items() if t != topic for w in ws]
    words = [rng.choice(TOPICS[topic]) for _ in range(rng.randint(2, 3))]
    words += [rng.choice(others)]
    words += [rng.choice(COMMON) for _ in range(rng.randint(4, 9))]
    rng.shuffle(words)
    return " ".join(words)


def build_vocab(texts):
    vocab = {"<pad>": 0, "<unk>": 1}
    for t in texts:
        for w in t.lower().split():
            vocab.setdefault(w, len(vocab))
    return vocab


def encode(text, vocab):
    return torch.tensor([vocab.get(w, 1) for w in text.lower().split()])


class Collate:
    def __init__(self, vocab):
        self.vocab = vocab

    def __call__(self, rows):
        ids = pad_sequence([encode(t, self.vocab) for t, _ in rows], batch_first=True)
        return ids, torch.tensor([y for _, y in rows])


class BagClassifier(nn.Module):
    def __init__(self, n_words, dim, n_classes):
        super().__init__()
        self.emb = nn.Embedding(n_words, dim, padding_idx=0)
        self.fc = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, n_classes))

    def forward(self, ids):
        mask = (ids != 0).float().unsqueeze(-1)
        mean = (self.emb(ids) * mask).sum(1) / mask.sum(1)
        return self.fc(mean)


def run_epoch(model, loader, opt=None):
    model.train(opt is not None)
    ce, tot, hit, n = nn.CrossEntropyLoss(), 0.0, 0, 0
    with torch.set_grad_enabled(opt is not None):
        for ids, y in loader:
            out = model(ids)
            loss = ce(out, y)
            if opt is not None:
                opt.zero_grad()
                loss.backward()
                opt.step()
            tot += loss.item() * len(y)
            hit += (out.argmax(1) == y).sum().item()
            n += len(y)
    return tot / n, hit / n


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=8)
    ap.add_argument("--dim", type=int, default=24)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    names = list(TOPICS)
    rows = [(write_message(rng, names[i % 4]), i % 4) for i in range(2400)]
    rng.shuffle(rows)
    train, val = rows[:2000], rows[2000:]
    vocab = build_vocab(t for t, _ in train)
    collate = Collate(vocab)
    train_dl = DataLoader(train, batch_size=40, shuffle=True, collate_fn=collate)
    val_dl = DataLoader(val, batch_size=100, collate_fn=collate)
    model = BagClassifier(len(vocab), args.dim, 4)
    opt = torch.optim.Adam(model.parameters(), lr=4e-3)
    for epoch in range(args.epochs):
        tl, ta = run_epoch(model, train_dl, opt)
        vl, va = run_epoch(model, val_dl)
        print(f"{epoch + 1:2d} | train {tl:.4f} / {ta:.3f} | val {vl:.4f} / {va:.3f}")


if __name__ == "__main__":
    main()
