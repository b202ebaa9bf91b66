import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, 0.05)
        nn.init.constant_(module.bias, 0.0)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--lr", type=float, default=0.05)
args = parser.parse_args()

torch.manual_seed(args.seed)
digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
x = x - x.mean()
y = torch.tensor(digits.target)
shuffled = torch.randperm(len(x))
train_rows, val_rows = shuffled[:1400], shuffled[1400:]

model = nn.Sequential(
    nn.Linear(64, 48),
    nn.ReLU(),
    nn.Linear(48, 48),
    nn.ReLU(),
    nn.Linear(48, 10),
)
model.apply(init_weights)
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.8)
loss_function = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, args.steps + 1):
    rows = train_rows[torch.randint(len(train_rows), (64,))]
    optimizer.zero_grad()
    loss = loss_function(model(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 50 == 0:
        with torch.no_grad():
            prediction = model(x[val_rows])
            val_loss = loss_function(prediction, y[val_rows])
            accuracy = (prediction.argmax(1) == y[val_rows]).float().mean()
        print(f"step {step}: train {running / 50:.4f}, val {val_loss:.4f}, accuracy {accuracy:.3f}")
        running = 0.0
