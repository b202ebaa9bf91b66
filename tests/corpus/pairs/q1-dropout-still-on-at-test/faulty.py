import argparse
import copy

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


def mlp(sizes, p):
    layers = []
    for a, b in zip(sizes[:-2], sizes[1:-1]):
        layers += [nn.Linear(a, b), nn.ReLU(), nn.Dropout(p)]
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


class Trainer:
    def __init__(self, model, optimizer, loss_fn, patience):
        self.model = model
        self.optimizer = optimizer
        self.loss_fn = loss_fn
        self.patience = patience
        self.best_loss = float("inf")
        self.best_state = None
        self.bad_epochs = 0

    def train_one_epoch(self, loader):
        self.model.train()
        running, n = 0.0, 0
        for x, y in loader:
            self.optimizer.zero_grad()
            loss = self.loss_fn(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            running += loss.item() * x.size(0)
            n += x.size(0)
        return running / n

    def validate(self, loader):
        running, hits, n = 0.0, 0, 0
        with torch.no_grad():
            for x, y in loader:
                logits = self.model(x)
                running += self.loss_fn(logits, y).item() * x.size(0)
                hits += (logits.argmax(1) == y).sum().item()
                n += x.size(0)
        return running / n, hits / n

    def fit(self, train_loader, val_loader, epochs):
        for epoch in range(1, epochs + 1):
            tl = self.train_one_epoch(train_loader)
            vl, va = self.validate(val_loader)
            print(f"epoch {epoch:02d} | train loss {tl:.4f} | val loss {vl:.4f} | val acc {va:.4f}")
            if vl < self.best_loss:
                self.best_loss, self.bad_epochs = vl, 0
                self.best_state = copy.deepcopy(self.model.state_dict())
            else:
                self.bad_epochs += 1
                if self.bad_epochs >= self.patience:
                    print("early stopping")
                    break
        self.model.load_state_dict(self.best_state)


def get_loaders(seed, batch_size):
    X, y = load_digits(return_X_y=True)
    g = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(X), generator=g).numpy()
    tr, va = order[:1350], order[1350:]
    sc = StandardScaler().fit(X[tr])
    make = lambda i: TensorDataset(torch.from_numpy(sc.transform(X[i])).float(), torch.from_numpy(y[i]).long())
    return (
        DataLoader(make(tr), batch_size=batch_size, shuffle=True, drop_last=True),
        DataLoader(make(va), batch_size=256),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader, val_loader = get_loaders(args.seed, 50)
    model = mlp([64, 128, 96, 10], args.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    trainer = Trainer(model, optimizer, nn.CrossEntropyLoss(), patience=4)
    trainer.fit(train_loader, val_loader, args.epochs)
    print("final accuracy %.4f" % trainer.validate(val_loader)[1])
