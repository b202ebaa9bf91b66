import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def build(n_in):
    return nn.Sequential(
        nn.Linear(n_in, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = make_classification(
        n_samples=6000, n_features=18, n_informative=8, weights=[0.96], class_sep=1.3, flip_y=0, random_state=args.seed
    )
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.3, stratify=y, random_state=args.seed)
    mean, std = x_train.mean(0), x_train.std(0)
    x_train, x_val = (torch.tensor((part - mean) / std, dtype=torch.float32) for part in (x_train, x_val))
    y_train, y_val = (torch.tensor(part, dtype=torch.float32) for part in (y_train, y_val))
    positives = y_train.sum()
    pos_weight = (len(y_train) - positives) / positives
    print(f"{int(positives)} positives of {len(y_train)}, pos_weight {pos_weight:.1f}")

    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True, drop_last=True)
    model = build(18)
    criterion = nn.BCEWithLogitsLoss(pos_weight=pos_weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-3)
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for xb, yb in loader:
            loss = criterion(model(xb).squeeze(1), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            score = model(x_val).squeeze(1)
            val_loss = criterion(score, y_val).item()
        auc, ap = roc_auc_score(y_val, score), average_precision_score(y_val, score)
        recall = (score[y_val == 1] > 0).float().mean()
        print(f"epoch {epoch}: train {total / len(loader):.4f} val {val_loss:.4f}", end=" ")
        print(f"auc {auc:.3f} ap {ap:.3f} recall {recall:.3f}")


if __name__ == "__main__":
    main()
