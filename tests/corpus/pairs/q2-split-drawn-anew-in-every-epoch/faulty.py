# handwritten digits through a worn scanner: small MLP, hold-out validation
import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--noise", type=float, default=0.2)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, y = load_digits(return_X_y=True)
x = torch.tensor(x, dtype=torch.float32) / 16
x = x + args.noise * torch.randn(x.shape)
x = (x - x.mean()) / x.std()
mixed = torch.randperm(len(x))
x, y = x[mixed], torch.tensor(y)[mixed]
final_test = TensorDataset(x[1200:], y[1200:])
dataset = TensorDataset(x[:1200], y[:1200])

model = nn.Sequential(
    nn.Linear(64, 200),
    nn.ReLU(),
    nn.Dropout(0.3),
    nn.Linear(200, 10),
)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)


def check(loader):
    model.eval()
    n = loss = right = 0
    with torch.no_grad():
        for xb, yb in loader:
            z = model(xb)
            loss += loss_fn(z, yb).item() * len(yb)
            right += (z.argmax(1) == yb).sum().item()
            n += len(yb)
    return loss / n, right / n


for epoch in range(args.epochs):
    train_set, val_set = random_split(dataset, [900, 300])
    train_loader = DataLoader(train_set, batch_size=20, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=300)
    model.train()
    total = 0.0
    for xb, yb in train_loader:
        optimizer.zero_grad()
        loss = loss_fn(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(yb)
    val_loss, val_acc = check(val_loader)
    print(f"epoch {epoch + 1}: train loss {total / 900:.4f}, val loss {val_loss:.4f}, val acc {val_acc:.3f}")

print("second scan: loss %.4f, accuracy %.3f" % check(DataLoader(final_test, batch_size=200)))
