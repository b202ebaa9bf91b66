"""Click prediction, wide and deep: five per cent of the shown items are clicked, scored by AUC and log loss."""

import argparse

import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

USERS, ITEMS, HOURS = 60, 40, 24


def log_of_views(n, rng):
    user, item, hour = rng.integers(USERS, size=n), rng.integers(ITEMS, size=n), rng.integers(HOURS, size=n)
    taste, kind = np.random.default_rng(1).normal(size=(USERS, 3)), np.random.default_rng(2).normal(size=(ITEMS, 3))
    dense = rng.normal(size=(n, 4))
    score = -4.2 + 1.2 * taste[user, 0] + 1.2 * kind[item, 0] + 0.4 * taste[user, 1] * kind[item, 1]
    score += 0.5 * np.sin(hour / 24 * 2 * np.pi) + 0.9 * dense[:, 0]
    click = rng.random(n) < 1 / (1 + np.exp(-score))
    as_long = torch.tensor(np.stack([user, item, hour], 1))
    return as_long, torch.tensor(dense, dtype=torch.float32), torch.tensor(click, dtype=torch.float32)


class WideAndDeep(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(n, dim) for n in (USERS, ITEMS, HOURS))
        self.wide = nn.ModuleList(nn.Embedding(n, 1) for n in (USERS, ITEMS, HOURS))
        for table in self.wide:
            nn.init.zeros_(table.weight)
        self.deep = nn.Sequential(nn.Linear(3 * dim + 4, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, ids, dense):
        deep = torch.cat([table(ids[:, i]) for i, table in enumerate(self.embeddings)] + [dense], dim=1)
        wide = sum(table(ids[:, i]) for i, table in enumerate(self.wide))
        return (self.deep(deep) + wide).squeeze(1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=5)
    ap.add_argument("--lr", type=float, default=2e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train = DataLoader(TensorDataset(*log_of_views(16000, rng)), batch_size=200, shuffle=True)
    ids, dense, clicks = log_of_views(6000, rng)
    model = WideAndDeep()
    opt = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-5)
    bce = nn.BCEWithLogitsLoss()
    base = clicks.mean().item()
    print(f"clicks: {base:.3f}, log loss of the base rate {log_loss(clicks, np.full(len(clicks), base)):.4f}")
    for epoch in range(1, args.epochs + 1):
        model.train()
        seen = []
        for i, d, y in train:
            opt.zero_grad(set_to_none=True)
            loss = bce(model(i, d), y)
            loss.backward()
            opt.step()
            seen.append(loss.item())
        model.eval()
        with torch.inference_mode():
            p = torch.sigmoid(model(ids, dense)).numpy()
        print(f"{epoch} train {np.mean(seen):.4f} valid {log_loss(clicks, p):.4f} auc {roc_auc_score(clicks, p):.3f}")


if __name__ == "__main__":
    main()
