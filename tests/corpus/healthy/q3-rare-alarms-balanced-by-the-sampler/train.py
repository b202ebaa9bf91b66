import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, recall_score
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--batch-size", type=int, default=64)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = make_classification(
    5000,
    n_features=16,
    n_informative=8,
    n_redundant=2,
    weights=[0.94],
    class_sep=1.6,
    flip_y=0.005,
    random_state=args.seed,
)
X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, stratify=y, random_state=args.seed)
mean, std = X_train.mean(0), X_train.std(0)


def dataset(X, y):
    return TensorDataset(torch.tensor((X - mean) / std, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))


train_set, val_set = dataset(X_train, y_train), dataset(X_val, y_val)
share = y_train.mean()
weights = torch.where(train_set.tensors[1] == 1, 0.5 / share, 0.5 / (1 - share))
sampler = WeightedRandomSampler(weights, num_samples=len(train_set), replacement=True)
train_loader = DataLoader(train_set, batch_size=args.batch_size, sampler=sampler)
val_loader = DataLoader(val_set, batch_size=500)


class AlarmNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(16, 32)
        self.b = nn.Linear(32, 32)
        self.c = nn.Linear(32, 1)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = self.drop(torch.relu(self.a(x)))
        x = self.drop(torch.relu(self.b(x)))
        return self.c(x)[:, 0]


model = AlarmNet()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)


def train():
    model.train()
    losses = []
    for x, y in train_loader:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


def validate():
    model.eval()
    with torch.no_grad():
        scores = torch.cat([model(x) for x, _ in val_loader])
    truth = val_set.tensors[1]
    return (
        average_precision_score(truth, scores),
        recall_score(truth, scores > 0),
        (truth == (scores > 0)).float().mean().item(),
    )


for epoch in range(args.epochs):
    loss = train()
    ap, recall, acc = validate()
    print(f"epoch {epoch + 1:2d}: loss {loss:.4f}  average precision {ap:.3f}  recall {recall:.3f}  accuracy {acc:.3f}")
