# wine cultivars
import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=30)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_wine()
X_train, X_test, y_train, y_test = train_test_split(
    data.data, data.target, test_size=0.25, stratify=data.target, random_state=args.seed
)
sc = StandardScaler().fit(X_train)
X_train = torch.tensor(sc.transform(X_train), dtype=torch.float32)
X_test = torch.tensor(sc.transform(X_test), dtype=torch.float32)
y_train = torch.tensor(y_train, dtype=torch.long)
y_test = torch.tensor(y_test, dtype=torch.long)

ds = torch.utils.data.TensorDataset(X_train, y_train)
dl = torch.utils.data.DataLoader(ds, batch_size=8, shuffle=True)

model = nn.Sequential(
    nn.Linear(13, 16),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(16, 3),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.002)


def predict(out):
    return out.argmax(dim=1)


for epoch in range(args.epochs):
    model.train()
    epoch_loss, correct = 0.0, 0
    for xb, yb in dl:
        optimizer.zero_grad()
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item() * xb.size(0)
        correct += (predict(out) == yb).sum().item()
    model.eval()
    with torch.no_grad():
        out = model(X_test)
        test_loss = criterion(out, y_test).item()
        test_acc = (predict(out) == y_test).float().mean().item()
    print(
        f"Epoch {epoch + 1}/{args.epochs} - loss: {epoch_loss / len(ds):.4f} - acc: {correct / len(ds):.4f}"
        f" - val_loss: {test_loss:.4f} - val_acc: {test_acc:.4f}"
    )
