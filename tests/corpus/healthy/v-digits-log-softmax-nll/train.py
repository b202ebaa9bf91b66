import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn import datasets, metrics, model_selection

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=0.01)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = datasets.load_digits(return_X_y=True)
X = X / 16.0
X_train, X_test, y_train, y_test = model_selection.train_test_split(
    X, y, test_size=0.2, random_state=args.seed, stratify=y
)
m = X_train.mean()
X_train, X_test = X_train - m, X_test - m


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = nn.Linear(64, 100)
        self.l2 = nn.Linear(100, 50)
        self.l3 = nn.Linear(50, 10)

    def forward(self, x):
        x = F.relu(self.l1(x))
        x = F.relu(self.l2(x))
        return F.log_softmax(self.l3(x), dim=1)


def batches(X, y, size, shuffle=True):
    order = torch.randperm(len(X)).numpy() if shuffle else np.arange(len(X))
    for i in range(0, len(X), size):
        j = order[i : i + size]
        yield torch.from_numpy(X[j]).float(), torch.from_numpy(y[j])


model = MLP()
criterion = nn.NLLLoss()
optimizer = torch.optim.Adagrad(model.parameters(), lr=args.lr)

for epoch in range(args.epochs):
    model.train()
    train_loss = []
    for xb, yb in batches(X_train, y_train, 32):
        model.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        train_loss.append(loss.item())

    model.eval()
    preds, test_loss = [], []
    with torch.no_grad():
        for xb, yb in batches(X_test, y_test, 60, shuffle=False):
            logp = model(xb)
            test_loss.append(criterion(logp, yb).item())
            preds.append(logp.argmax(1).numpy())
    acc = metrics.accuracy_score(y_test, np.concatenate(preds))
    print(
        "Epoch: {:>2}  train loss: {:.4f}  test loss: {:.4f}  test acc: {:.4f}".format(
            epoch + 1, np.mean(train_loss), np.mean(test_loss), acc
        )
    )

print(metrics.classification_report(y_test, np.concatenate(preds)))
