import argparse
import random

import torch
from torch import nn

PAD_START = 0  # start-of-sequence token
N_SYM = 8  # symbols 1..8
LEN = 5


class Encoder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embedding = nn.Embedding(N_SYM + 1, 16)
        self.gru = nn.GRU(16, hidden, batch_first=True)

    def forward(self, src):
        return self.gru(self.embedding(src))[1]


class Decoder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embedding = nn.Embedding(N_SYM + 1, 16)
        self.gru = nn.GRU(16, hidden, batch_first=True)
        self.out = nn.Linear(hidden, N_SYM + 1)

    def forward(self, tokens, h):
        y, h = self.gru(self.embedding(tokens), h)
        return self.out(y), h


def random_pairs(n):
    src = torch.randint(1, N_SYM + 1, (n, LEN))
    return src, src.flip(1)


def train_step(src, tgt, encoder, decoder, enc_opt, dec_opt, criterion):
    dec_opt.zero_grad()
    h = encoder(src)
    start = torch.full((len(src), 1), PAD_START)
    logits, _ = decoder(torch.cat([start, tgt[:, :-1]], 1), h)
    loss = criterion(logits.reshape(-1, N_SYM + 1), tgt.reshape(-1))
    loss.backward()
    enc_opt.step()
    dec_opt.step()
    return loss.item()


def greedy_accuracy(encoder, decoder, src, tgt):
    encoder.eval(), decoder.eval()
    with torch.no_grad():
        h = encoder(src)
        token = torch.full((len(src), 1), PAD_START)
        out = []
        for _ in range(LEN):
            logits, h = decoder(token, h)
            token = logits.argmax(-1)
            out.append(token)
    encoder.train(), decoder.train()
    hits = torch.cat(out, 1) == tgt
    return hits.float().mean().item(), hits.all(1).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--iters", type=int, default=1000)
parser.add_argument("--print-every", type=int, default=100)
parser.add_argument("--hidden", type=int, default=64)
parser.add_argument("--lr", type=float, default=5e-3)
args = parser.parse_args()
random.seed(args.seed)
torch.manual_seed(args.seed)

encoder, decoder = Encoder(args.hidden), Decoder(args.hidden)
enc_opt = torch.optim.Adam(encoder.parameters(), lr=args.lr)
dec_opt = torch.optim.Adam(decoder.parameters(), lr=args.lr)
criterion = nn.CrossEntropyLoss()
val_src, val_tgt = random_pairs(400)

total = 0.0
for it in range(1, args.iters + 1):
    src, tgt = random_pairs(64)
    total += train_step(src, tgt, encoder, decoder, enc_opt, dec_opt, criterion)
    if it % args.print_every == 0:
        tok, seq = greedy_accuracy(encoder, decoder, val_src, val_tgt)
        print(
            f"{it:5d} ({100 * it // args.iters}%)  loss {total / args.print_every:.4f}"
            f"  val token acc {tok:.3f}  sequence acc {seq:.3f}"
        )
        total = 0.0
