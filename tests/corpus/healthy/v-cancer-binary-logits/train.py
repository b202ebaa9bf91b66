import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, Dataset


class CancerDataset(Dataset):
    def __init__(self, X, y):
        self.X = torch.tensor(X, dtype=torch.float32)
        self.y = torch.tensor(y, dtype=torch.float32)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


class Classifier(nn.Module):
    def __init__(self, d_in, d_hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(d_in, d_hidden)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(d_hidden, 1)

    def forward(self, x):
        return self.fc2(self.drop(self.act(self.fc1(x)))).squeeze(1)


def train_one_epoch(model, loader, loss_fn, opt):
    model.train()
    tot = 0.0
    for X, y in loader:
        loss = loss_fn(model(X), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        tot += loss.item() * len(y)
    return tot / len(loader.dataset)


@torch.no_grad()
def evaluate(model, loader, loss_fn):
    model.eval()
    logits, targets = [], []
    for X, y in loader:
        logits.append(model(X))
        targets.append(y)
    logits, targets = torch.cat(logits), torch.cat(targets)
    prob = torch.sigmoid(logits)
    return (loss_fn(logits, targets).item(), accuracy_score(targets, prob > 0.5), roc_auc_score(targets, prob))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = load_breast_cancer()
    Xtr, Xva, ytr, yva = train_test_split(
        data.data, data.target, test_size=0.3, random_state=args.seed, stratify=data.target
    )
    mu, sd = Xtr.mean(axis=0), Xtr.std(axis=0)
    Xtr, Xva = (Xtr - mu) / sd, (Xva - mu) / sd
    train_loader = DataLoader(CancerDataset(Xtr, ytr), batch_size=16, shuffle=True)
    val_loader = DataLoader(CancerDataset(Xva, yva), batch_size=64)

    model = Classifier(Xtr.shape[1])
    loss_fn = nn.BCEWithLogitsLoss()
    opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-3)
    for ep in range(args.epochs):
        tl = train_one_epoch(model, train_loader, loss_fn, opt)
        vl, acc, auc = evaluate(model, val_loader, loss_fn)
        print(f"[{ep + 1}/{args.epochs}] train {tl:.4f} | val {vl:.4f} acc {acc:.3f} auc {auc:.4f}")
