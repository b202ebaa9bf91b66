import argparse

import torch
from sklearn.datasets import make_circles
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
torch.manual_seed(args.seed)

# positions of the particles in metres
points, ring = make_circles(1500, noise=0.08, factor=0.5, random_state=args.seed)
x = torch.tensor(points * 100, dtype=torch.float32)  # in centimetres
y = torch.tensor(ring)
x_train, y_train, x_val, y_val = x[:1200], y[:1200], x[1200:], y[1200:]

model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=args.epochs)
loss_fn = nn.CrossEntropyLoss()


def train_epoch():
    order = torch.randperm(len(x_train))
    losses = []
    for i in range(0, len(order), 60):
        chosen = order[i : i + 60]
        loss = loss_fn(model(x_train[chosen]), y_train[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


for epoch in range(args.epochs):
    train_loss = train_epoch()
    scheduler.step()
    with torch.no_grad():
        logits = model(x_val)
        val_loss = loss_fn(logits, y_val).item()
        accuracy = (logits.argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch + 1:2d}  train {train_loss:.4f}  val {val_loss:.4f}  accuracy {accuracy:.3f}")
