import argparse

import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=25)
parser.add_argument("--batch", type=int, default=40)
parser.add_argument("--lr", type=float, default=4e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = make_friedman1(n_samples=2000, n_features=6, noise=0.8, random_state=args.seed)
X = torch.tensor((X - 0.5) / 0.29, dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32).view(-1, 1)
mu, sigma = y[:1600].mean(), y[:1600].std()
y = (y - mu) / sigma
X_train, y_train, X_test, y_test = X[:1600], y[:1600], X[1600:], y[1600:]

model = nn.Sequential(nn.Linear(6, 40), nn.SiLU(), nn.Linear(40, 40), nn.SiLU(), nn.Linear(40, 1))
criterion = nn.SmoothL1Loss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
scheduler = ExponentialLR(optimizer, gamma=0.998)

for epoch in range(1, args.epochs + 1):
    model.train()
    train_loss, n_batches = 0.0, 0
    for idx in torch.randperm(len(X_train)).split(args.batch):
        optimizer.zero_grad()
        loss = criterion(model(X_train[idx]), y_train[idx])
        loss.backward()
        optimizer.step()
        scheduler.step()
        train_loss += loss.item()
        n_batches += 1
    model.eval()
    with torch.no_grad():
        prediction = model(X_test)
        test_loss = criterion(prediction, y_test).item()
        mae = ((prediction - y_test).abs().mean() * sigma).item()
    print(
        f"epoch {epoch:2d}: train {train_loss / n_batches:.4f} test {test_loss:.4f} "
        f"mae {mae:.3f} lr {scheduler.get_last_lr()[0]:.1e}"
    )
