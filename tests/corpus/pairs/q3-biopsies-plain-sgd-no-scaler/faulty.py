import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split

ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--epochs", type=int, default=15)
ap.add_argument("--batch", type=int, default=16)
opt = ap.parse_args()
torch.manual_seed(opt.seed)

data = load_breast_cancer()
X_train, X_test, y_train, y_test = train_test_split(
    data.data, data.target, test_size=0.25, stratify=data.target, random_state=opt.seed
)

X_train = torch.FloatTensor(X_train)
X_test = torch.FloatTensor(X_test)
y_train = torch.FloatTensor(y_train).unsqueeze(1)
y_test = torch.FloatTensor(y_test).unsqueeze(1)

net = nn.Sequential(
    nn.Linear(30, 24),
    nn.ReLU(),
    nn.Linear(24, 12),
    nn.ReLU(),
    nn.Linear(12, 1),
)
loss_fn = nn.BCEWithLogitsLoss()
sgd = torch.optim.SGD(net.parameters(), lr=0.05)

for epoch in range(opt.epochs):
    net.train()
    perm = torch.randperm(X_train.size(0))
    epoch_loss = 0.0
    for i in range(0, X_train.size(0), opt.batch):
        idx = perm[i : i + opt.batch]
        sgd.zero_grad()
        logits = net(X_train[idx])
        loss = loss_fn(logits, y_train[idx])
        loss.backward()
        sgd.step()
        epoch_loss += loss.item() * len(idx)

    net.eval()
    with torch.no_grad():
        logits = net(X_test)
        val = loss_fn(logits, y_test).item()
        prob = torch.sigmoid(logits)
    acc = accuracy_score(y_test.numpy(), (prob > 0.5).float().numpy())
    auc = roc_auc_score(y_test.numpy(), prob.numpy())
    print(
        f"Epoch {epoch + 1:2d}/{opt.epochs}  loss={epoch_loss / len(X_train):.4f}  val_loss={val:.4f}  acc={acc:.3f}  auc={auc:.3f}"
    )
