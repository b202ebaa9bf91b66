import argparse
import copy

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class EarlyStopping:
    def __init__(self, patience):
        self.patience, self.best, self.bad = patience, float("inf"), 0
        self.state = None

    def __call__(self, value, model):
        if value < self.best - 1e-4:
            self.best, self.bad = value, 0
            self.state = copy.deepcopy(model.state_dict())
        else:
            self.bad += 1
        return self.bad >= self.patience


def prepare(seed):
    x, y = make_classification(1500, 20, n_informative=8, n_redundant=4, class_sep=1.4, flip_y=0.08, random_state=seed)
    xt, xv, yt, yv = train_test_split(x, y, train_size=500, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(xt)
    to = lambda a: torch.tensor(a, dtype=torch.float32)
    return to(scaler.transform(xt)), to(yt), to(scaler.transform(xv)), to(yv)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--max-epochs", type=int, default=250)
    ap.add_argument("--patience", type=int, default=8)
    ap.add_argument("--lr", type=float, default=1e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    xt, yt, xv, yv = prepare(args.seed)
    model = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
    bce = nn.BCEWithLogitsLoss()
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    stopper = EarlyStopping(args.patience)
    for epoch in range(1, args.max_epochs + 1):
        model.train()
        train_loss = 0.0
        for idx in torch.randperm(len(xt)).split(32):
            opt.zero_grad()
            loss = bce(model(xt[idx]).squeeze(1), yt[idx])
            loss.backward()
            opt.step()
            train_loss += loss.item() * len(idx) / len(xt)
        model.eval()
        with torch.no_grad():
            val_loss = bce(model(xv).squeeze(1), yv).item()
        if epoch % 10 == 0 or epoch < 10:
            print(f"epoch {epoch:3d}  train {train_loss:.4f}  val {val_loss:.4f}")
        if stopper(val_loss, model):
            print(f"stopped after epoch {epoch}")
            break
    model.load_state_dict(stopper.state)
    model.eval()
    with torch.no_grad():
        prob = torch.sigmoid(model(xv).squeeze(1)).double().clamp(1e-7, 1 - 1e-7).numpy()
    print(
        f"final: log loss {log_loss(yv.numpy(), prob):.4f}  AUC {roc_auc_score(yv.numpy(), prob):.4f}  "
        f"accuracy {((prob > 0.5) == (yv.numpy() > 0.5)).mean():.4f}"
    )


if __name__ == "__main__":
    main()
