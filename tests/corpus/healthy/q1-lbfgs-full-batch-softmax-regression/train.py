import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--l2", type=float, default=2e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=args.seed, stratify=y)
mean = X_train.mean(axis=0)
X_train = torch.tensor((X_train - mean) / 6.0, dtype=torch.float32)
X_test = torch.tensor((X_test - mean) / 6.0, dtype=torch.float32)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

linear = torch.nn.Linear(64, 10)
optimizer = torch.optim.LBFGS(linear.parameters(), lr=1.0, max_iter=3, history_size=10, line_search_fn="strong_wolfe")


def objective():
    return F.cross_entropy(linear(X_train), y_train) + 0.5 * args.l2 * linear.weight.square().sum()


def closure():
    optimizer.zero_grad()
    value = objective()
    value.backward()
    return value


for step in range(1, args.steps + 1):
    linear.train()
    before = optimizer.step(closure)
    linear.eval()
    with torch.no_grad():
        test_logits = linear(X_test)
        test_loss = F.cross_entropy(test_logits, y_test).item()
        accuracy = (test_logits.argmax(1) == y_test).float().mean().item()
    print(f"step {step:3d}  objective {before.item():.4f}  test loss {test_loss:.4f}  test accuracy {accuracy:.4f}")

with torch.no_grad():
    train_accuracy = (linear(X_train).argmax(1) == y_train).float().mean().item()
print(f"train accuracy {train_accuracy:.4f}, norm of the weights {linear.weight.norm().item():.2f}")
