import argparse

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from torch import nn


class Ordinal(nn.Module):
    """P(grade > k) = sigmoid(f(x) - t_k) with increasing thresholds t_k."""

    def __init__(self, n_in, n_grades):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(n_in, 24), nn.SiLU(), nn.Dropout(0.2), nn.Linear(24, 1))
        self.first = nn.Parameter(torch.tensor(-1.0))
        self.gaps = nn.Parameter(torch.zeros(n_grades - 2))

    def thresholds(self):
        return torch.cat([self.first[None], self.first + nn.functional.softplus(self.gaps).cumsum(0)])

    def forward(self, x):
        return self.score(x) - self.thresholds()

    def grade(self, x):
        return (self(x) > 0).sum(1)


def fit_fold(xtr, ytr, xva, yva, args):
    model = Ordinal(xtr.shape[1], 4)
    opt = torch.optim.AdamW(
        [
            {"params": model.score.parameters(), "weight_decay": 0.05},
            {"params": [model.first, model.gaps], "lr": 2e-2, "weight_decay": 0.0},
        ],
        lr=3e-3,
    )
    levels = torch.arange(3)
    target = (ytr[:, None] > levels).float()
    for epoch in range(args.epochs):
        model.train()
        seen = []
        for idx in torch.randperm(len(ytr)).split(args.batch_size):
            loss = nn.functional.binary_cross_entropy_with_logits(model(xtr[idx]), target[idx])
            opt.zero_grad()
            loss.backward()
            opt.step()
            seen.append(loss.item() * len(idx))
    model.eval()
    with torch.no_grad():
        pred = model.grade(xva)
        val_loss = nn.functional.binary_cross_entropy_with_logits(model(xva), (yva[:, None] > levels).float())
    kappa = cohen_kappa_score(yva.numpy(), pred.numpy(), weights="quadratic")
    return sum(seen) / len(ytr), val_loss.item(), (pred - yva).abs().float().mean().item(), kappa


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, target = load_diabetes(return_X_y=True)
    y = np.digitize(target, [90, 150, 240])
    print("patients per grade:", np.bincount(y).tolist())
    rows = []
    for k, (tr, va) in enumerate(KFold(args.folds, shuffle=True, random_state=args.seed).split(x)):
        scaler = StandardScaler().fit(x[tr])
        xtr, xva = (torch.tensor(scaler.transform(x[i]), dtype=torch.float32) for i in (tr, va))
        row = fit_fold(xtr, torch.tensor(y[tr]), xva, torch.tensor(y[va]), args)
        rows.append(row)
        print("fold %d: train %.3f  val %.3f  mean error %.2f grades  kappa %.3f" % (k + 1, *row))
    print(f"mean kappa {np.mean([r[3] for r in rows]):.3f}")


if __name__ == "__main__":
    main()
