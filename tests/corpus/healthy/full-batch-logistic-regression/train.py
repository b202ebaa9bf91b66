import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

# logistic regression by hand: one weight vector, full-batch gradient descent, no nn.Module

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--iterations", type=int, default=600)
parser.add_argument("--lr", type=float, default=0.3)
parser.add_argument("--l2", type=float, default=1e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=args.seed)
scaler = StandardScaler()
X_train = torch.tensor(scaler.fit_transform(X_train), dtype=torch.float32)
X_test = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
y_train = torch.tensor(y_train, dtype=torch.float32)
y_test = torch.tensor(y_test, dtype=torch.float32)

w = torch.zeros(X_train.shape[1], requires_grad=True)
b = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([w, b], lr=args.lr)


def objective(features, labels):
    logits = features @ w + b
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels), logits


for iteration in range(1, args.iterations + 1):
    optimizer.zero_grad()
    nll, _ = objective(X_train, y_train)
    loss = nll + args.l2 * w.pow(2).sum()
    loss.backward()
    optimizer.step()

    if iteration % 60 == 0:
        with torch.no_grad():
            test_nll, logits = objective(X_test, y_test)
        accuracy = ((logits > 0).float() == y_test).float().mean()
        print(
            f"iteration {iteration:4d}: loss {loss.item():.4f}, test nll {test_nll.item():.4f}, accuracy {accuracy:.4f}"
        )
