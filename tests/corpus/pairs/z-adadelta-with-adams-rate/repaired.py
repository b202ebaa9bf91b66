import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser(description="customer segments")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=14)
parser.add_argument("--batch", type=int, default=50)
args = parser.parse_args()
torch.manual_seed(args.seed)
np.random.seed(args.seed)

X, y = make_classification(
    3000, n_features=20, n_informative=10, n_classes=4, class_sep=1.8, flip_y=0.01, random_state=args.seed
)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=args.seed)
scaler = StandardScaler()
X_train = torch.FloatTensor(scaler.fit_transform(X_train))
X_test = torch.FloatTensor(scaler.transform(X_test))
y_train, y_test = torch.LongTensor(y_train), torch.LongTensor(y_test)

model = nn.Sequential(
    nn.Linear(20, 64),
    nn.ReLU(),
    nn.Dropout(0.1),
    nn.Linear(64, 32),
    nn.ReLU(),
    nn.Linear(32, 4),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)

history = {"loss": [], "val_loss": [], "val_acc": []}
n_batches = len(X_train) // args.batch
for epoch in range(args.epochs):
    model.train()
    perm = torch.randperm(len(X_train))
    epoch_loss = 0
    for b in range(n_batches):
        idx = perm[b * args.batch : (b + 1) * args.batch]
        optimizer.zero_grad()
        loss = criterion(model(X_train[idx]), y_train[idx])
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    history["loss"].append(epoch_loss / n_batches)

    model.eval()
    with torch.no_grad():
        out = model(X_test)
        history["val_loss"].append(criterion(out, y_test).item())
        pred = out.argmax(dim=1)
    history["val_acc"].append(accuracy_score(y_test, pred))
    print(
        "epoch %d  loss %.4f  val_loss %.4f  val_acc %.4f"
        % (epoch + 1, history["loss"][-1], history["val_loss"][-1], history["val_acc"][-1])
    )
print("macro F1:", f1_score(y_test, pred, average="macro"))
