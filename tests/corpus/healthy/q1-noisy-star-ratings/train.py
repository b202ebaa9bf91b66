import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.linear_model import LinearRegression
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)

# a user gives a rating that depends on some film features, with a lot of personal taste
n = 4000
films = rng.normal(size=(n, 8)).astype(np.float32)
signal = 0.5 * films[:, 0] + 0.4 * np.abs(films[:, 1]) - 0.4 * films[:, 2] * films[:, 3]
rating = (3.2 + signal + rng.normal(scale=0.75, size=n)).astype(np.float32)

train_x, val_x = films[:3200], films[3200:]
train_y, val_y = rating[:3200], rating[3200:]
centre, scale = train_y.mean(), train_y.std()

train_set = TensorDataset(torch.from_numpy(train_x), torch.from_numpy((train_y - centre) / scale))
loader = DataLoader(train_set, batch_size=64, shuffle=True)

model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-4)
loss_fn = nn.MSELoss()


def val_r2():
    model.eval()
    with torch.no_grad():
        pred = model(torch.from_numpy(val_x)).numpy() * scale + centre
    return 1 - ((pred - val_y) ** 2).mean() / val_y.var()


for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    print(f"epoch {epoch + 1:2d}  train mse {total / len(train_set):.4f}  val R2 {val_r2():.3f}")

linear = LinearRegression().fit(train_x, train_y)
print(
    f"linear regression R2 {linear.score(val_x, val_y):.3f}, network R2 {val_r2():.3f}, "
    f"best possible about {signal[3200:].var() / val_y.var():.3f}"
)
