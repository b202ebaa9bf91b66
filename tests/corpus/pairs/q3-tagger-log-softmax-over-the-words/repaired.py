import argparse
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

TAGS = {"DET": 0, "ADJ": 1, "NOUN": 2, "VERB": 3, "ADV": 4, "PREP": 5}
LEXICON = {
    "DET": ["the", "a", "this", "every"],
    "ADJ": ["red", "old", "quick", "light", "calm", "cold"],
    "NOUN": ["dog", "ship", "light", "run", "house", "walk", "teacher", "plan", "cold"],
    "VERB": ["run", "sees", "plan", "likes", "walk", "calm", "builds"],
    "ADV": ["slowly", "often", "well", "never"],
    "PREP": ["in", "near", "under", "with"],
}


def sentence(rng):
    def noun_phrase():
        return ["DET"] + ["ADJ"] * rng.choice([0, 0, 1, 2]) + ["NOUN"]

    tags = noun_phrase() + ["ADV"] * rng.choice([0, 1]) + ["VERB"]
    if rng.random() < 0.6:
        tags += noun_phrase()
    if rng.random() < 0.5:
        tags += ["PREP"] + noun_phrase()
    return [rng.choice(LEXICON[t]) for t in tags], tags


class Tagger(nn.Module):
    def __init__(self, vocab_size, emb=24, hidden=24):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, emb, padding_idx=0)
        self.lstm = nn.LSTM(emb, hidden, batch_first=True, bidirectional=True)
        self.hidden2tag = nn.Linear(2 * hidden, len(TAGS))

    def forward(self, words):
        out, _ = self.lstm(self.embedding(words))
        return F.log_softmax(self.hidden2tag(out), dim=2)


def make_batches(data, vocab, size, shuffle):
    data = list(data)
    if shuffle:
        random.shuffle(data)
    for i in range(0, len(data), size):
        chunk = data[i : i + size]
        words = pad_sequence([torch.tensor([vocab[w] for w in s]) for s, _ in chunk], batch_first=True)
        tags = pad_sequence(
            [torch.tensor([TAGS[t] for t in ts]) for _, ts in chunk], batch_first=True, padding_value=-100
        )
        yield words, tags


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=4)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    corpus = [sentence(random) for _ in range(1400)]
    train, dev = corpus[:1100], corpus[1100:]
    words = sorted({w for ws in LEXICON.values() for w in ws})
    vocab = {w: i + 1 for i, w in enumerate(words)}

    model = Tagger(len(vocab) + 1)
    loss_function = nn.NLLLoss(ignore_index=-100)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for x, t in make_batches(train, vocab, 16, shuffle=True):
            model.zero_grad()
            scores = model(x)
            loss = loss_function(scores.reshape(-1, len(TAGS)), t.reshape(-1))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        right = total = 0
        with torch.no_grad():
            for x, t in make_batches(dev, vocab, 100, shuffle=False):
                guess = model(x).argmax(2)
                right += ((guess == t) & (t != -100)).sum().item()
                total += (t != -100).sum().item()
        print("epoch %d: loss %.4f, dev tag accuracy %.3f" % (epoch + 1, sum(losses) / len(losses), right / total))


if __name__ == "__main__":
    main()
