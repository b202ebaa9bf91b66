import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from torch.utils.data import BatchSampler, RandomSampler


class Classifier(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 10)])

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)

    def l2(self):
        return sum(p.pow(2).sum() for p in self.parameters())


def load(seed):
    X, y = load_digits(return_X_y=True)
    X = (X - X.mean()) / X.std()
    parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y)
    X_tr, X_te, y_tr, y_te = (torch.as_tensor(a) for a in parts)
    return X_tr.float(), X_te.float(), y_tr, y_te


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=15)
    ap.add_argument("--hidden", type=int, default=64)
    ap.add_argument("--lam", type=float, default=2e-4, help="weight of the L2 penalty")
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    X_tr, X_te, y_tr, y_te = load(args.seed)
    net = Classifier(args.hidden)
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    ce = nn.CrossEntropyLoss()
    sampler = BatchSampler(RandomSampler(X_tr), batch_size=32, drop_last=False)

    for epoch in range(args.epochs):
        net.train()
        data_loss = penalty = 0.0
        for idx in sampler:
            fit = ce(net(X_tr[idx]), y_tr[idx])
            reg = args.lam * net.l2()
            opt.zero_grad()
            (fit + reg).backward()
            opt.step()
            data_loss += fit.item() / len(sampler)
            penalty += reg.item() / len(sampler)

        net.eval()
        with torch.no_grad():
            logits = net(X_te)
        acc = accuracy_score(y_te.numpy(), logits.argmax(1).numpy())
        print(
            f"epoch {epoch + 1:2d}: data {data_loss:.4f} + penalty {penalty:.4f} | "
            f"test loss {ce(logits, y_te).item():.4f} | test acc {acc:.4f}"
        )


if __name__ == "__main__":
    main()
