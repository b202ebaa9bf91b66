import argparse

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        nn.init.zeros_(m.bias)


class Trainer:
    def __init__(self, model, lr, batch_size):
        self.model = model
        self.batch_size = batch_size
        self.opt = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
        self.sched = torch.optim.lr_scheduler.StepLR(self.opt, step_size=6, gamma=0.3)
        self.loss_fn = nn.CrossEntropyLoss()

    def fit(self, x, y, xv, yv, epochs):
        for epoch in range(1, epochs + 1):
            self.model.train()
            order = np.random.permutation(len(x))
            losses = []
            for start in range(0, len(x), self.batch_size):
                take = order[start : start + self.batch_size]
                out = self.model(torch.from_numpy(x[take]))
                loss = self.loss_fn(out, torch.from_numpy(y[take]))
                self.opt.zero_grad(set_to_none=True)
                loss.backward()
                self.opt.step()
                losses.append(loss.item())
            self.sched.step()
            loss_v, pred = self.predict(xv, yv)
            print(
                "epoch {:2d} train {:.4f} val {:.4f} acc {:.4f} macro-f1 {:.4f}".format(
                    epoch, np.mean(losses), loss_v, accuracy_score(yv, pred), f1_score(yv, pred, average="macro")
                )
            )

    @torch.no_grad()
    def predict(self, x, y):
        self.model.eval()
        out = self.model(torch.from_numpy(x))
        return self.loss_fn(out, torch.from_numpy(y)).item(), out.argmax(1).numpy()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--lr", type=float, default=0.02)
    ap.add_argument("--epochs", type=int, default=15)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    x, y = make_classification(
        5000,
        30,
        n_informative=12,
        n_redundant=6,
        n_classes=5,
        n_clusters_per_class=1,
        class_sep=1.6,
        flip_y=0.01,
        random_state=args.seed,
    )
    xt, xv, yt, yv = train_test_split(x, y, test_size=0.2, stratify=y, random_state=args.seed)
    sc = StandardScaler().fit(xt)
    xt, xv = sc.transform(xt).astype(np.float32), sc.transform(xv).astype(np.float32)
    model = nn.Sequential(nn.Linear(30, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 5))
    model.apply(init_weights)
    Trainer(model, args.lr, 64).fit(xt, yt, xv, yv, args.epochs)


if __name__ == "__main__":
    main()
