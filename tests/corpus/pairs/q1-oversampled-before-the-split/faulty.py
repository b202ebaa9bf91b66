import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def churn_table(n, rng):
    x = rng.normal(size=(n, 24))
    z = 1.5 * x[:, 0] - 1.2 * x[:, 1] + 1.0 * x[:, 2] * x[:, 3] + 0.8 * x[:, 4] - 3.2 + rng.logistic(size=n) * 0.3
    return x.astype(np.float32), (z > 0).astype(np.int64)


def oversample(x, y, rng):
    minority, majority = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    extra = rng.choice(minority, size=len(majority) - len(minority), replace=True)
    idx = rng.permutation(np.concatenate([majority, minority, extra]))
    return x[idx], y[idx]


class ChurnNet(nn.Module):
    def __init__(self, n_in, hidden):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_in, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(hidden, 2),
        )

    def forward(self, x):
        return self.net(x)


def train_epoch(model, loader, optimizer, criterion):
    model.train()
    losses = []
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def evaluate(model, x, y, criterion):
    model.eval()
    with torch.no_grad():
        out = model(x)
    pred = out.argmax(1).numpy()
    return (
        criterion(out, y).item(),
        balanced_accuracy_score(y, pred),
        precision_score(y, pred, zero_division=0),
        recall_score(y, pred),
    )


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=9)
    ap.add_argument("--hidden", type=int, default=64)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    x, y = churn_table(4000, rng)
    print("churners: %.1f%%" % (100 * y.mean()))
    x, y = oversample(x, y, rng)
    x_tr, x_va, y_tr, y_va = train_test_split(x, y, test_size=0.25, stratify=y, random_state=args.seed)

    loader = DataLoader(TensorDataset(torch.from_numpy(x_tr), torch.from_numpy(y_tr)), batch_size=64, shuffle=True)
    x_va, y_va = torch.from_numpy(x_va), torch.from_numpy(y_va)
    model = ChurnNet(x.shape[1], args.hidden)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        tl = train_epoch(model, loader, optimizer, criterion)
        vl, bacc, prec, rec = evaluate(model, x_va, y_va, criterion)
        print(
            f"{epoch + 1:2d}  train loss {tl:.3f}  val loss {vl:.3f}  "
            f"bal.acc {bacc:.3f}  precision {prec:.3f}  recall {rec:.3f}"
        )


if __name__ == "__main__":
    main()
