import argparse
import math

import torch
import torch.nn as nn

parser = argparse.ArgumentParser(description="character-level language model")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--bptt", type=int, default=24)
parser.add_argument("--clip", type=float, default=1.0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SYLLABLES = ["ka", "lo", "mi", "ren", "to", "su", "ba", "nel", "vi", "do"]


def speak(n):
    """Words of an invented language: two to four syllables, each followed by one of three others."""
    out, s = [], 0
    for _ in range(n):
        word = []
        for _ in range(int(torch.randint(2, 5, (1,)))):
            s = (3 * s + int(torch.randint(1, 4, (1,)))) % len(SYLLABLES)
            word.append(SYLLABLES[s])
        out.append("".join(word))
    return " ".join(out)


corpus = speak(5000)
chars = sorted(set(corpus))
stoi = {c: i for i, c in enumerate(chars)}
ids = torch.tensor([stoi[c] for c in corpus])


def batchify(data, lanes):
    rows = len(data) // lanes
    return data[: rows * lanes].view(lanes, rows).t().contiguous()


cut = int(0.9 * len(ids))
train_data, val_data = batchify(ids[:cut], 20), batchify(ids[cut:], 10)


class CharGRU(nn.Module):
    def __init__(self, vocab, dim=24, hidden=64):
        super().__init__()
        self.encoder = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, hidden)
        self.decoder = nn.Linear(hidden, vocab)

    def forward(self, tokens, hidden=None):
        out, hidden = self.rnn(self.encoder(tokens), hidden)
        return self.decoder(out), hidden.detach()


model = CharGRU(len(chars))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)


def run_epoch(data, training):
    model.train(training)
    hidden, total, tokens = None, 0.0, 0
    with torch.set_grad_enabled(training):
        for i in range(0, data.size(0) - 1, args.bptt):
            length = min(args.bptt, data.size(0) - 1 - i)
            x, y = data[i : i + length], data[i + 1 : i + 1 + length]
            logits, hidden = model(x, hidden)
            loss = criterion(logits.reshape(-1, len(chars)), y.reshape(-1))
            if training:
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), args.clip)
                optimizer.step()
            total += loss.item() * y.numel()
            tokens += y.numel()
    return total / tokens


for epoch in range(1, args.epochs + 1):
    train_loss = run_epoch(train_data, True)
    val_loss = run_epoch(val_data, False)
    print(f"| epoch {epoch} | train ppl {math.exp(train_loss):6.2f} | valid ppl {math.exp(val_loss):6.2f} |")
