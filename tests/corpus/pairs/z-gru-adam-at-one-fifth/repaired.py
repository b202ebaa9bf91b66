"""Which of five sources wrote the string?  A GRU over symbols of Markov chains."""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def sample_strings(chains, n, length):
    source = torch.randint(len(chains), (n,))
    state = torch.randint(chains.shape[-1], (n,))
    out = [state]
    for _ in range(length - 1):
        state = torch.multinomial(chains[source, state], 1).squeeze(1)
        out.append(state)
    return torch.stack(out, 1), source


class SourceGRU(nn.Module):
    def __init__(self, symbols, classes, emb=16, hidden=48):
        super().__init__()
        self.emb = nn.Embedding(symbols, emb)
        self.rnn = nn.GRU(emb, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x):
        _, h = self.rnn(self.emb(x))
        return self.fc(h[-1])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--max-steps", type=int, default=700)
    ap.add_argument("--batch-size", type=int, default=32)
    ap.add_argument("--lr", type=float, default=0.005)
    ap.add_argument("--eval-every", type=int, default=70)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    chains = torch.softmax(1.5 * torch.randn(5, 12, 12), dim=-1)
    x, y = sample_strings(chains, 4000, 20)
    xv, yv = sample_strings(chains, 600, 20)

    model = SourceGRU(12, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    step, running = 0, 0.0
    while step < args.max_steps:
        for idx in torch.randperm(len(x)).split(args.batch_size):
            model.train()
            loss = F.cross_entropy(model(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item()
            step += 1
            if step % args.eval_every == 0:
                model.eval()
                with torch.no_grad():
                    out = model(xv)
                    vl = F.cross_entropy(out, yv).item()
                    va = (out.argmax(1) == yv).float().mean().item()
                print(f"step {step}: loss {running / args.eval_every:.3f}  val loss {vl:.3f}  val acc {va:.3f}")
                running = 0.0
            if step >= args.max_steps:
                break


if __name__ == "__main__":
    main()
