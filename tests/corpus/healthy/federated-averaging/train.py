"""FedAvg on digits: eight clients with uneven classes, averaged after each round."""

import argparse
import copy

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class Client:
    def __init__(self, x, y):
        self.loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
        self.n = len(x)

    def update(self, global_model, lr, local_epochs):
        model = copy.deepcopy(global_model)
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)
        for _ in range(local_epochs):
            for x, y in self.loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        return model.state_dict()


def average(states, sizes):
    total = sum(sizes)
    return {k: sum(s[k] * (n / total) for s, n in zip(states, sizes)) for k in states[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(X))
    X, y = X[order] / 16.0, y[order]
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    train_x, train_y, test_x, test_y = X[:1400], y[:1400], X[1400:], y[1400:]
    share = rng.dirichlet([1.0] * args.clients, size=10)
    owner = np.array([rng.choice(args.clients, p=share[c]) for c in train_y.numpy()])
    clients = [Client(train_x[owner == k], train_y[owner == k]) for k in range(args.clients) if (owner == k).sum() > 0]

    model = Net()
    for r in range(args.rounds):
        chosen = rng.choice(len(clients), size=min(4, len(clients)), replace=False)
        states = [clients[k].update(model, args.lr, 2) for k in chosen]
        model.load_state_dict(average(states, [clients[k].n for k in chosen]))
        model.eval()
        with torch.no_grad():
            logits = model(test_x)
        acc = (logits.argmax(1) == test_y).float().mean().item()
        print(f"round {r + 1}: test loss {F.cross_entropy(logits, test_y).item():.4f} acc {acc:.4f}")


if __name__ == "__main__":
    main()
