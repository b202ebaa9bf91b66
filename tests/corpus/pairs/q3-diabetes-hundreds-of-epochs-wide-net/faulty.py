import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--lr", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_diabetes(return_X_y=True)
X_tr, X_va, y_tr, y_va = train_test_split(X, y, test_size=0.3, random_state=args.seed)
mu, sd = X_tr.mean(0), X_tr.std(0)
t_mu, t_sd = y_tr.mean(), y_tr.std()


def tensors(X, y):
    return (
        torch.tensor((X - mu) / sd, dtype=torch.float32),
        torch.tensor((y - t_mu) / t_sd, dtype=torch.float32).view(-1, 1),
    )


X_tr, y_tr = tensors(X_tr, y_tr)
X_va, y_va = tensors(X_va, y_va)

model = nn.Sequential(nn.Linear(10, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))

criterion = nn.MSELoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
history = []
for epoch in range(1, args.epochs + 1):
    model.train()
    order = torch.randperm(len(X_tr))
    for k in range(0, len(order), 16):
        b = order[k : k + 16]
        optimizer.zero_grad()
        loss = criterion(model(X_tr[b]), y_tr[b])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        history.append((criterion(model(X_tr), y_tr).item(), criterion(model(X_va), y_va).item()))
    if epoch % 10 == 0:
        print("epoch {:3d}  train {:.4f}  val {:.4f}".format(epoch, *history[-1]))

rmse = history[-1][1] ** 0.5 * t_sd
print(f"validation RMSE at the end: {rmse:.1f}")
