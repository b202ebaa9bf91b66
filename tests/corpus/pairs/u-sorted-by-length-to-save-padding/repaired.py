import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_sequence


def make_trace(rng, kind):
    # short press strokes, medium drilling, long milling passes
    mean_len = (12, 24, 40)[kind]
    n = int(np.clip(rng.normal(mean_len, 3.0), 6, 55))
    t = np.arange(n)
    if kind == 0:
        a = np.exp(-t / 5.0)
    elif kind == 1:
        a = 0.6 * np.sin(t / 2.0)
    else:
        a = 0.6 * np.sin(t / 3.2)
    scale = rng.uniform(0.7, 1.3)
    xy = np.stack([scale * a, rng.normal(0, 1, n)], 1) + 0.25 * rng.standard_normal((n, 2))
    return torch.tensor(xy, dtype=torch.float32)


class CycleNet(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.gru = nn.GRU(2, hidden)
        self.fc = nn.Linear(hidden, 3)

    def forward(self, traces):
        _, h = self.gru(pack_sequence(traces, enforce_sorted=False))
        return self.fc(h[0])


def batches(traces, labels, size, rng):
    order = rng.permutation(len(traces)).tolist()
    chunks = [order[i : i + size] for i in range(0, len(order), size)]
    for c in chunks:
        yield [traces[i] for i in c], labels[c]


def test(model, traces, labels):
    model.eval()
    with torch.no_grad():
        out = model(traces)
    pred = out.argmax(1)
    per_class = [(pred[labels == k] == k).float().mean().item() for k in range(3)]
    return nn.functional.cross_entropy(out, labels).item(), per_class


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    y = torch.tensor(rng.integers(0, 3, 1200))
    data = [make_trace(rng, int(k)) for k in y]
    tr_x, tr_y, te_x, te_y = data[:960], y[:960], data[960:], y[960:]
    model = CycleNet()
    opt = torch.optim.RMSprop(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        tot = 0.0
        for xb, yb in batches(tr_x, tr_y, args.batch, rng):
            loss = nn.functional.cross_entropy(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            opt.step()
            tot += loss.item() * len(yb)
        vl, pc = test(model, te_x, te_y)
        print(
            f"epoch {epoch:2d}  train {tot / len(tr_x):.4f}  test {vl:.4f}  recall per kind "
            + " ".join(f"{v:.2f}" for v in pc)
        )
