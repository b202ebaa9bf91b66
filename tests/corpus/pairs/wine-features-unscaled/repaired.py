"""Five-fold cross-validation of a small MLP on the wine data."""

import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--folds", type=int, default=5)
parser.add_argument("--epochs", type=int, default=25)
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--weight-decay", type=float, default=1e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
features, labels = load_wine(return_X_y=True)
scores = []

for fold, (train_index, test_index) in enumerate(
    StratifiedKFold(args.folds, shuffle=True, random_state=args.seed).split(features, labels)
):
    scaler = StandardScaler().fit(features[train_index])
    x_train = torch.tensor(scaler.transform(features[train_index]), dtype=torch.float32)
    x_test = torch.tensor(scaler.transform(features[test_index]), dtype=torch.float32)
    y_train, y_test = torch.tensor(labels[train_index]), torch.tensor(labels[test_index])

    net = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    opt = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=args.weight_decay)
    loss_fn = nn.CrossEntropyLoss()
    for _ in range(args.epochs):
        net.train()
        order = torch.randperm(len(x_train))
        for start in range(0, len(order), 16):
            batch = order[start : start + 16]
            loss = loss_fn(net(x_train[batch]), y_train[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()

    net.eval()
    with torch.no_grad():
        out = net(x_test)
        accuracy = (out.argmax(dim=1) == y_test).float().mean().item()
    scores.append(accuracy)
    print(f"fold {fold}: train loss {loss.item():.4f}, test loss {loss_fn(out, y_test):.4f}, accuracy {accuracy:.3f}")

print(f"mean accuracy {sum(scores) / len(scores):.3f}")
