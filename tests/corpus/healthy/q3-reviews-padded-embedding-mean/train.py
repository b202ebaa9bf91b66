import argparse
import random

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

GOOD = "great lovely tasty friendly perfect fresh warm quick charming excellent".split()
BAD = "awful rude cold bland dirty slow broken stale noisy terrible".split()
PLAIN = "the food service place we had dinner table waiter it was and soup price with room staff bar ordered".split()


def review(rng):
    label = rng.randint(0, 1)
    words = []
    for _ in range(rng.randint(5, 25)):
        u = rng.random()
        if u < 0.18:
            words.append(rng.choice(GOOD if label else BAD))
        elif u < 0.25:
            words += ["not", rng.choice(BAD if label else GOOD)]
        else:
            words.append(rng.choice(PLAIN))
    return words, label


class Sentiment(nn.Module):
    """Word and bigram convolution, masked mean over time."""

    def __init__(self, vocab, dim=24, filters=32):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim, padding_idx=0)
        self.conv = nn.Conv1d(dim, filters, kernel_size=2, padding=1)
        self.fc = nn.Linear(filters, 1)

    def forward(self, tokens, lengths):
        h = torch.relu(self.conv(self.emb(tokens).transpose(1, 2)))[:, :, : tokens.shape[1]]
        mask = torch.arange(tokens.shape[1])[None, :] < lengths[:, None]
        h = (h * mask.unsqueeze(1)).sum(2) / lengths.unsqueeze(1)
        return self.fc(h).squeeze(1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--lr", type=float, default=4e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    reviews = [review(rng) for _ in range(2500)]
    train, dev = reviews[:2000], reviews[2000:]
    itos = ["<pad>", "<unk>"] + sorted({w for ws, _ in train for w in ws})
    stoi = {w: i for i, w in enumerate(itos)}

    def collate(items):
        seqs = [torch.tensor([stoi.get(w, 1) for w in ws]) for ws, _ in items]
        lengths = torch.tensor([len(s) for s in seqs])
        return pad_sequence(seqs, batch_first=True), lengths, torch.tensor([float(l) for _, l in items])

    train_loader = DataLoader(train, batch_size=50, shuffle=True, collate_fn=collate)
    dev_loader = DataLoader(dev, batch_size=125, collate_fn=collate)
    net = Sentiment(len(itos))
    bce = nn.BCEWithLogitsLoss()
    opt = torch.optim.Adamax(net.parameters(), lr=args.lr)

    for epoch in range(1, args.epochs + 1):
        net.train()
        tot = 0.0
        for tokens, lengths, label in train_loader:
            opt.zero_grad()
            loss = bce(net(tokens, lengths), label)
            loss.backward()
            opt.step()
            tot += loss.item() * len(label)
        net.eval()
        dl = hit = 0
        with torch.no_grad():
            for tokens, lengths, label in dev_loader:
                z = net(tokens, lengths)
                dl += bce(z, label).item() * len(label)
                hit += ((z > 0) == (label > 0.5)).sum().item()
        print(f"{epoch:2d} train {tot / len(train):.4f} dev {dl / len(dev):.4f} acc {hit / len(dev):.3f}")


if __name__ == "__main__":
    main()
