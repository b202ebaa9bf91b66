import argparse

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--max-steps", type=int, default=800)
parser.add_argument("--eval-every", type=int, default=100)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = make_classification(
    n_samples=2500, n_features=20, n_informative=8, n_redundant=2, class_sep=1.6, random_state=args.seed
)
X = (X - X.mean(axis=0)) / X.std(axis=0)
X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.long)
train_set, val_set = TensorDataset(X[:2000], y[:2000]), TensorDataset(X[2000:], y[2000:])
train_loader = DataLoader(train_set, batch_size=64)
val_loader = DataLoader(val_set, batch_size=250)

model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, weight_decay=1e-3)


def validate():
    model.eval()
    loss, hits = 0.0, 0
    with torch.no_grad():
        for inputs, labels in val_loader:
            logits = model(inputs)
            loss += criterion(logits, labels).item() * len(labels)
            hits += (logits.argmax(1) == labels).sum().item()
    model.train()
    return loss / len(val_set), hits / len(val_set)


step = 0
while step < args.max_steps:
    inputs, labels = next(iter(train_loader))
    loss = criterion(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    step += 1
    if step % args.eval_every == 0:
        val_loss, val_acc = validate()
        print(f"step {step:4d} train loss {loss.item():.4f} val loss {val_loss:.4f} val acc {val_acc:.4f}")
