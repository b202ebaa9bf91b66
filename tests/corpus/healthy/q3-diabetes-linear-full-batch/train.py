import argparse

import torch
from sklearn.datasets import load_diabetes

parser = argparse.ArgumentParser(description="ridge regression by gradient descent")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--iterations", type=int, default=600)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--ridge", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = (torch.tensor(a, dtype=torch.float32) for a in load_diabetes(return_X_y=True))
order = torch.randperm(len(X))
train, test = order[:330], order[330:]
X = (X - X[train].mean(0)) / X[train].std(0)
y_mean, y_std = y[train].mean(), y[train].std()
y = (y - y_mean) / y_std

model = torch.nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)


def mse(idx):
    return ((model(X[idx]).flatten() - y[idx]) ** 2).mean()


for it in range(1, args.iterations + 1):
    optimizer.zero_grad()
    loss = mse(train) + args.ridge * model.weight.square().sum()
    loss.backward()
    optimizer.step()
    if it % 100 == 0:
        with torch.no_grad():
            print(f"iteration {it}: train {mse(train).item():.4f}  test {mse(test).item():.4f}")

with torch.no_grad():
    r2 = 1 - mse(test) / (y[test] - y[train].mean()).square().mean()
    rmse = mse(test).sqrt() * y_std
print(f"test R2 {r2:.3f}, RMSE {rmse:.1f} (the plain mean gives {y[test].square().mean().sqrt() * y_std:.1f})")
