import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.preprocessing import scale
from torch.utils.data import DataLoader, TensorDataset, random_split


def get_loaders(batch_size, seed):
    X, y = make_classification(
        n_samples=2000, n_features=16, n_informative=8, class_sep=1.5, weights=[0.55], random_state=seed
    )
    X = torch.tensor(scale(X), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    train_ds, val_ds = random_split(TensorDataset(X, y), [1600, 400])
    return DataLoader(train_ds, batch_size=batch_size, shuffle=True), DataLoader(val_ds, batch_size=400)


class ChurnModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_1 = nn.Linear(16, 48)
        self.layer_2 = nn.Linear(48, 24)
        self.layer_out = nn.Linear(24, 1)
        self.relu = nn.ReLU()

    def forward(self, inputs):
        x = self.relu(self.layer_1(inputs))
        x = self.relu(self.layer_2(x))
        return self.layer_out(x)


def binary_acc(y_pred, y_test):
    y_pred_tag = torch.round(torch.sigmoid(y_pred))
    return (y_pred_tag == y_test).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--learning-rate", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_loader, val_loader = get_loaders(args.batch_size, args.seed)
model = ChurnModel()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=args.learning_rate)

for e in range(1, args.epochs + 1):
    epoch_loss, epoch_acc = 0.0, 0.0
    model.train()
    for X_batch, y_batch in train_loader:
        optimizer.zero_grad()
        y_pred = model(X_batch)
        loss = criterion(y_pred, y_batch)
        acc = binary_acc(y_pred, y_batch)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
        epoch_acc += acc
    model.eval()
    with torch.no_grad():
        val_acc = sum(binary_acc(model(X), y) for X, y in val_loader) / len(val_loader)
    print(
        f"Epoch {e:03}: | Loss: {epoch_loss / len(train_loader):.5f} | "
        f"Acc: {epoch_acc / len(train_loader):.3f} | Val Acc: {val_acc:.3f}"
    )
