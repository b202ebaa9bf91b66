import argparse

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn


class DiabetesModel(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.linear1 = nn.Linear(n_features, 16)
        self.linear2 = nn.Linear(16, 1)

    def forward(self, x):
        return self.linear2(torch.relu(self.linear1(x))).squeeze(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=0.005)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_diabetes(return_X_y=True, scaled=False)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.25, random_state=args.seed)
X_mean, X_std, y_mean, y_std = X_train.mean(0), X_train.std(0), y_train.mean(), y_train.std()


def tensors(X, y):
    return (
        torch.tensor((X - X_mean) / X_std, dtype=torch.float32),
        torch.tensor((y - y_mean) / y_std, dtype=torch.float32),
    )


x_train, t_train = tensors(X_train, y_train)
x_val, t_val = tensors(X_val, y_val)

model = DiabetesModel(x_train.shape[1])
huber = nn.HuberLoss(delta=1.0)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-3)

for epoch in range(1, args.epochs + 1):
    model.train()
    losses = []
    order = np.random.default_rng(args.seed * 1000 + epoch).permutation(len(x_train))
    for start in range(0, len(order), 16):
        rows = order[start : start + 16]
        loss = huber(model(x_train[rows]), t_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        prediction = model(x_val)
        val_loss = huber(prediction, t_val).item()
        r2 = 1 - ((prediction - t_val) ** 2).sum().item() / ((t_val - t_val.mean()) ** 2).sum().item()
    print(f"epoch {epoch:2d}  train {np.mean(losses):.4f}  val {val_loss:.4f}  R2 {r2:.3f}")
