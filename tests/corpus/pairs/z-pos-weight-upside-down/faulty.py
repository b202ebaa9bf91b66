"""Card fraud: 6 % positives, logits, BCE with pos_weight."""

import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def get_data(seed):
    X, y = make_classification(
        4000,
        n_features=16,
        n_informative=8,
        n_clusters_per_class=1,
        weights=[0.94],
        class_sep=1.3,
        flip_y=0.005,
        random_state=seed + 3,
    )
    X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    sc = StandardScaler().fit(X_tr)
    pack = lambda a, b: TensorDataset(
        torch.tensor(sc.transform(a), dtype=torch.float32), torch.tensor(b, dtype=torch.float32)
    )
    return pack(X_tr, y_tr), pack(X_va, y_va)


class FraudNet(nn.Module):
    def __init__(self, n_in):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_in, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 16), nn.ReLU())
        self.logit = nn.Linear(16, 1)

    def forward(self, x):
        return self.logit(self.body(x)).squeeze(-1)


def validate(model, dataset, criterion):
    model.eval()
    x, y = dataset.tensors
    with torch.no_grad():
        z = model(x)
    flagged = (z > 0).int()
    return {
        "loss": criterion(z, y).item(),
        "precision": precision_score(y, flagged, zero_division=0),
        "recall": recall_score(y, flagged),
        "ap": average_precision_score(y, z),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_ds, val_ds = get_data(args.seed)
    labels = train_ds.tensors[1]
    n_pos = labels.sum()
    n_neg = len(labels) - n_pos
    criterion = nn.BCEWithLogitsLoss(pos_weight=n_pos / n_neg)
    loader = DataLoader(train_ds, batch_size=args.batch_size, shuffle=True)
    model = FraudNet(16)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        scores = validate(model, val_ds, criterion)
        print(
            f"epoch {epoch:2d} train_loss {total / len(train_ds):.4f} "
            + " ".join(f"val_{k} {v:.4f}" for k, v in scores.items())
        )


if __name__ == "__main__":
    main()
