"""Pointer network that sorts seven numbers."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class PointerNet(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.embed = nn.Linear(1, hidden)
        self.encoder = nn.GRU(hidden, hidden, batch_first=True)
        self.decoder = nn.GRUCell(hidden, hidden)
        self.start = nn.Parameter(torch.randn(hidden) * 0.1)
        self.w_enc = nn.Linear(hidden, hidden, bias=False)
        self.w_dec = nn.Linear(hidden, hidden)
        self.v = nn.Linear(hidden, 1, bias=False)

    def forward(self, numbers, target=None):
        n, length = numbers.shape
        emb = self.embed(numbers.unsqueeze(-1))
        enc, h = self.encoder(emb)
        keys = self.w_enc(enc) + self.w_enc(emb)
        h = h[-1]
        inp = self.start.expand(n, -1)
        used = torch.zeros(n, length, dtype=torch.bool)
        rows = torch.arange(n)
        logits_all, picks = [], []
        for t in range(length):
            h = self.decoder(inp, h)
            logits = self.v(torch.tanh(keys + self.w_dec(h).unsqueeze(1))).squeeze(-1)
            logits = logits.masked_fill(used, float("-inf"))
            logits_all.append(logits)
            pick = logits.argmax(1)
            picks.append(pick)
            chosen = target[:, t] if target is not None else pick
            used = used.clone()
            used[rows, chosen] = True
            inp = emb[rows, chosen]
        return torch.stack(logits_all, 1), torch.stack(picks, 1)


def batch_stream(batch_size, length):
    while True:
        x = torch.rand(batch_size, length) * 2 - 1
        yield x, x.argsort(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--length", type=int, default=7)
    parser.add_argument("--lr", type=float, default=4e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    net = PointerNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=args.steps)
    stream = batch_stream(args.batch_size, args.length)
    test_x, test_y = next(batch_stream(300, args.length))

    for step, (x, y) in enumerate(stream, start=1):
        net.train()
        logits, _ = net(x, y)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            net.eval()
            with torch.no_grad():
                _, picks = net(test_x)
            place = (picks == test_y).float().mean().item()
            whole = (picks == test_y).all(1).float().mean().item()
            print(f"step {step:4d} loss {loss.item():.4f} positions right {place:.3f} whole lists {whole:.3f}")
        if step >= args.steps:
            break


if __name__ == "__main__":
    main()
