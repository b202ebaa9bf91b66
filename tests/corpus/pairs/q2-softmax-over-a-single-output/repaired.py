import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer


class TumourNet(nn.Module):
    def __init__(self, n_features):
        super(TumourNet, self).__init__()
        self.fc1 = nn.Linear(n_features, 24)
        self.fc2 = nn.Linear(24, 12)
        self.fc3 = nn.Linear(12, 1)
        self.relu = nn.ReLU()
        self.out = nn.Sigmoid()

    def forward(self, x):
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.out(self.fc3(x))


def main(args):
    torch.manual_seed(args.seed)
    bunch = load_breast_cancer()
    X = torch.tensor(bunch.data, dtype=torch.float32)
    y = torch.tensor(bunch.target, dtype=torch.float32).view(-1, 1)
    idx = torch.randperm(len(X))
    tr, te = idx[:430], idx[430:]
    mean, std = X[tr].mean(dim=0), X[tr].std(dim=0)
    X = (X - mean) / std

    net = TumourNet(X.shape[1])
    bce = nn.BCELoss()
    opt = torch.optim.Adam(net.parameters(), lr=args.lr, weight_decay=1e-3)

    for epoch in range(1, args.epochs + 1):
        net.train()
        tr = tr[torch.randperm(len(tr))]
        loss_sum = 0.0
        for b in tr.split(args.batch_size):
            opt.zero_grad()
            p = net(X[b])
            loss = bce(p, y[b])
            loss.backward()
            opt.step()
            loss_sum += loss.item() * len(b)
        net.eval()
        with torch.no_grad():
            p = net(X[te])
            vloss = bce(p, y[te]).item()
            vacc = ((p > 0.5).float() == y[te]).float().mean().item()
        print("epoch %2d   loss %.4f   val_loss %.4f   val_acc %.4f" % (epoch, loss_sum / len(tr), vloss, vacc))


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--batch-size", type=int, default=16)
    ap.add_argument("--lr", type=float, default=1e-3)
    main(ap.parse_args())
