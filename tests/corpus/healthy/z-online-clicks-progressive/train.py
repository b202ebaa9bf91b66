"""Online learning of a click stream: every small batch is first predicted, then learnt from, and seen only once."""

import argparse
import math

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

BUCKETS = 512


def stream(n_batches, size, seed):
    """The taste of the users drifts slowly along the stream."""
    rng = np.random.default_rng(seed)
    w_user = rng.normal(size=60)
    w_ad = rng.normal(size=40)
    cross = 1.2 * rng.normal(size=(6, 40))
    for b in range(n_batches):
        w_ad += 0.01 * rng.normal(size=40)
        user, ad = rng.integers(0, 60, size), rng.integers(0, 40, size)
        score = -2.2 + w_user[user] + w_ad[ad] + cross[user % 6, ad]
        click = rng.random(size) < 1 / (1 + np.exp(-score))
        keys = np.stack([user, 60 + ad, 100 + (user % 6) * 40 + ad], 1)
        hashed = (keys * 2654435761 % 2**32) % BUCKETS
        yield torch.from_numpy(hashed), torch.from_numpy(click.astype(np.float32))


class HashedLogistic(nn.Module):
    def __init__(self, base_rate):
        super().__init__()
        self.table = nn.Embedding(BUCKETS, 1)
        nn.init.zeros_(self.table.weight)
        self.bias = nn.Parameter(torch.tensor(math.log(base_rate / (1 - base_rate))))

    def forward(self, keys):
        return self.table(keys).sum((1, 2)) + self.bias


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.15)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    model = HashedLogistic(base_rate=0.2)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=args.lr)
    criterion = nn.BCEWithLogitsLoss()
    scores, truth, losses = [], [], []
    for k, (keys, click) in enumerate(stream(args.batches, args.batch_size, args.seed), 1):
        logits = model(keys)
        loss = criterion(logits, click)  # progressive: these rows are new to the model
        scores.append(logits.detach())
        truth.append(click)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if k % 250 == 0:
            s, t = torch.cat(scores).numpy(), torch.cat(truth).numpy()
            print(
                f"{k * args.batch_size:6d} impressions  logloss {np.mean(losses):.4f}  "
                f"AUC {roc_auc_score(t, s):.3f}  CTR {t.mean():.3f} predicted {(1 / (1 + np.exp(-s))).mean():.3f}"
            )
            scores, truth, losses = [], [], []


if __name__ == "__main__":
    main()
