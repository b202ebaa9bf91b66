import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import classification_report
from sklearn.model_selection import train_test_split
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--n-epochs", type=int, default=20)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_digits(return_X_y=True)
X = X.astype("float32") / 16
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=args.seed, stratify=y)
X_train, X_test = torch.tensor(X_train), torch.tensor(X_test)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

model = nn.Sequential(
    nn.Linear(64, 64),
    nn.ReLU(),
    nn.Dropout(0.1),
    nn.Linear(64, 32),
    nn.ReLU(),
    nn.Linear(32, 10),
)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
batch_size = 32

for epoch in range(args.n_epochs):
    model.train()
    idx = torch.randperm(len(X_train))
    running = 0
    for k in range(0, len(idx), batch_size):
        sel = idx[k : k + batch_size]
        pred = model(X_train[sel])
        loss = loss_fn(pred, y_train[sel])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item() * len(sel)
    model.eval()
    with torch.no_grad():
        test_logits = model(X_test)
        test_loss = loss_fn(test_logits, y_test)
        acc = (test_logits.argmax(1) == y_test).float().mean()
    print(f"{epoch + 1:>2}/{args.n_epochs}  loss {running / len(idx):.4f}  test loss {test_loss:.4f}  acc {acc:.4f}")

print(classification_report(y_test.numpy(), test_logits.argmax(1).numpy(), digits=3))
