import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

p = argparse.ArgumentParser()
p.add_argument("--seed", type=int, default=0)
p.add_argument("--epochs", type=int, default=20)
p.add_argument("--hidden", type=int, default=24)
args = p.parse_args()
torch.manual_seed(args.seed)
np.random.seed(args.seed)

wine = load_wine()
x_train, x_test, y_train, y_test = train_test_split(
    wine.data.astype("float32"), wine.target, test_size=0.3, stratify=wine.target, random_state=args.seed
)

x_train, x_test = torch.from_numpy(x_train), torch.from_numpy(x_test)
y_train, y_test = torch.from_numpy(y_train).long(), torch.from_numpy(y_test).long()

model = nn.Sequential(
    nn.Linear(13, args.hidden),
    nn.Tanh(),
    nn.Linear(args.hidden, args.hidden),
    nn.Tanh(),
    nn.Linear(args.hidden, 3),
)
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.8, weight_decay=1e-2)
batch_size = 12

for epoch in range(args.epochs):
    order = np.random.permutation(len(x_train))
    epoch_loss = 0.0
    model.train()
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        prediction = model(x_train[rows])
        loss = loss_function(prediction, y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * len(rows)
    if (epoch + 1) % 2 == 0:
        model.eval()
        with torch.no_grad():
            out = model(x_test)
            test_loss = loss_function(out, y_test).item()
            test_acc = (out.argmax(1) == y_test).float().mean().item()
        print(
            f"epoch {epoch + 1:3d}: loss={epoch_loss / len(order):.4f} "
            f"test_loss={test_loss:.4f} test_acc={test_acc:.3f}"
        )

print("classes predicted:", np.bincount(out.argmax(1).numpy(), minlength=3))
