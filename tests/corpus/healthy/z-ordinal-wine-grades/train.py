import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from scipy.stats import spearmanr
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

GRADES = 5


def tastings(n, rng):
    x = rng.normal(size=(n, 9))
    quality = 1.2 * x[:, 0] - 0.8 * x[:, 1] + 0.7 * np.tanh(2 * x[:, 2]) + 0.5 * x[:, 3] * x[:, 4]
    quality += 0.3 * rng.normal(size=n)
    # most wines are average
    return x.astype(np.float32), np.digitize(quality, [-2.6, -1.0, 1.0, 2.6])


def levels(grade):
    """grade 3 -> 1 1 1 0: is the wine better than 0, 1, 2, 3?"""
    return (grade[:, None] > torch.arange(GRADES - 1)).float()


class OrdinalNet(nn.Module):
    """One score per wine and increasing cut points."""

    def __init__(self, n_in):
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(n_in, 32), nn.SiLU(), nn.Linear(32, 16), nn.SiLU(), nn.Linear(16, 1, bias=False)
        )
        self.first = nn.Parameter(torch.tensor(-2.0))
        self.gaps = nn.Parameter(torch.ones(GRADES - 2))

    def cuts(self):
        return torch.cat([self.first[None], self.first + F.softplus(self.gaps).cumsum(0)])

    def forward(self, x):
        return self.score(x) - self.cuts()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch_size", type=int, default=32)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, grade = tastings(2800, np.random.default_rng(args.seed))
x_tr, x_te, g_tr, g_te = train_test_split(x, grade, test_size=0.25, random_state=args.seed, stratify=grade)
print("grades in training:", np.bincount(g_tr, minlength=GRADES))
x_te, g_te = torch.from_numpy(x_te), torch.from_numpy(g_te)

# rare grades are drawn more often, mildly
freq = np.bincount(g_tr, minlength=GRADES) / len(g_tr)
sampler = WeightedRandomSampler((1 / np.sqrt(freq))[g_tr], num_samples=len(g_tr))
loader = DataLoader(TensorDataset(torch.from_numpy(x_tr), torch.from_numpy(g_tr)), args.batch_size, sampler=sampler)

model = OrdinalNet(x.shape[1])
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-3)
for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for xb, gb in loader:
        loss = F.binary_cross_entropy_with_logits(model(xb), levels(gb), reduction="none").sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    model.eval()
    with torch.no_grad():
        logits = model(x_te)
        test_loss = F.binary_cross_entropy_with_logits(logits, levels(g_te), reduction="none").sum(1).mean().item()
        guess = (logits > 0).sum(1)
    mae = (guess - g_te).abs().float().mean().item()
    rho = spearmanr(guess, g_te).statistic
    print(
        f"epoch {epoch + 1:2d}  train {total / len(x_tr):.4f}  test {test_loss:.4f}  MAE {mae:.3f}  "
        f"exact {(guess == g_te).float().mean().item():.3f}  rank corr. {rho:.3f}"
    )
