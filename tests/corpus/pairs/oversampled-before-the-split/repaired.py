import argparse

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def oversample(x, y, rng):
    """Repeat rows of the rare class until both classes are equally frequent."""
    rare = np.flatnonzero(y == 1)
    extra = rng.choice(rare, size=(y == 0).sum() - len(rare))
    index = np.concatenate([np.arange(len(y)), extra])
    return x[index], y[index]


def tensors(x, y):
    return TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)

x, y = make_classification(
    n_samples=3000,
    n_features=16,
    n_informative=10,
    weights=[0.88],
    class_sep=1.5,
    flip_y=0.01,
    random_state=args.seed + 11,
)
x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, stratify=y, random_state=args.seed)
x_train, y_train = oversample(x_train, y_train, rng)
mean, std = x_train.mean(0), x_train.std(0)
train_loader = DataLoader(tensors((x_train - mean) / std, y_train), batch_size=64, shuffle=True)
val_loader = DataLoader(tensors((x_val - mean) / std, y_val), batch_size=256)

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
loss_fn = nn.BCEWithLogitsLoss()

for epoch in range(args.epochs):
    model.train()
    train_losses = []
    for features, target in train_loader:
        loss = loss_fn(model(features), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_losses.append(loss.item())

    model.eval()
    val_losses, predicted, actual = [], [], []
    with torch.no_grad():
        for features, target in val_loader:
            logits = model(features)
            val_losses.append(loss_fn(logits, target).item())
            predicted += (logits > 0).int().flatten().tolist()
            actual += target.int().flatten().tolist()
    score = balanced_accuracy_score(actual, predicted)
    print(f"epoch {epoch + 1} train {np.mean(train_losses):.4f} val {np.mean(val_losses):.4f} balanced acc {score:.4f}")
