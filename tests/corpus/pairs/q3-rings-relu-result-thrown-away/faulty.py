import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import make_circles
from sklearn.metrics import f1_score


class Classifier(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 1)

    def forward(self, x):
        x = self.fc1(x)
        F.relu(x)
        x = self.fc2(x)
        F.relu(x)
        return self.fc3(x).squeeze(1)


def batches(x, y, size):
    perm = torch.randperm(len(x))
    for start in range(0, len(x), size):
        sel = perm[start : start + size]
        yield x[sel], y[sel]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--noise", type=float, default=0.12)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_circles(1500, noise=args.noise, factor=0.5, random_state=args.seed)
    X = torch.tensor(X).float()
    y = torch.tensor(y).float()
    X_train, y_train = X[:1100], y[:1100]
    X_val, y_val = X[1100:], y[1100:]

    model = Classifier()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    for epoch in range(1, args.epochs + 1):
        model.train()
        for xb, yb in batches(X_train, y_train, 32):
            loss = F.binary_cross_entropy_with_logits(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 3 == 0:
            model.eval()
            with torch.no_grad():
                z = model(X_val)
                val_loss = F.binary_cross_entropy_with_logits(z, y_val).item()
                f1 = f1_score(y_val.numpy(), (z > 0).numpy().astype(float))
            print(f"Epoch {epoch:>2}: last batch {loss.item():.4f}, val {val_loss:.4f}, F1 {f1:.3f}")


if __name__ == "__main__":
    main()
