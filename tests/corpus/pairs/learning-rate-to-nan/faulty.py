"""House-price style regression; features and target standardised, SGD with momentum."""

import argparse

import numpy as np
import torch
from sklearn.datasets import make_regression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=0.8)
args = parser.parse_args()
np.random.seed(args.seed)
torch.manual_seed(args.seed)

X, y = make_regression(n_samples=2000, n_features=15, n_informative=10, noise=10.0, random_state=args.seed)
y = y + 30.0 * np.sin(X[:, 0] * 2) + 20.0 * np.abs(X[:, 1])
x_scaler, y_scaler = StandardScaler(), StandardScaler()
X = x_scaler.fit_transform(X).astype(np.float32)
y = y_scaler.fit_transform(y.reshape(-1, 1)).astype(np.float32)
train_ds = TensorDataset(torch.from_numpy(X[:1600]), torch.from_numpy(y[:1600]))
val_ds = TensorDataset(torch.from_numpy(X[1600:]), torch.from_numpy(y[1600:]))
train_dl = DataLoader(train_ds, batch_size=32, shuffle=True)
val_dl = DataLoader(val_ds, batch_size=400)

model = nn.Sequential(nn.Linear(15, 64), nn.LeakyReLU(0.1), nn.Linear(64, 32), nn.LeakyReLU(0.1), nn.Linear(32, 1))
loss_func = nn.MSELoss()
opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

for epoch in range(args.epochs):
    model.train()
    losses = []
    for xb, yb in train_dl:
        loss = loss_func(model(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        val = np.mean([loss_func(model(xb), yb).item() for xb, yb in val_dl])
    print(f"epoch {epoch:2d}  train mse {np.mean(losses):.4f}  val mse {val:.4f}")
