import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def l2_penalty(model):
    return sum(p.pow(2).sum() for name, p in model.named_parameters() if "weight" in name)


class Net(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.body(x)).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--l2", type=float, default=1.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, test_size=0.25, random_state=args.seed)
    scaler = StandardScaler().fit(X_train)
    X_train = torch.tensor(scaler.transform(X_train), dtype=torch.float32)
    X_test = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
    y_train = torch.tensor(y_train, dtype=torch.float32)
    y_test = torch.tensor(y_test, dtype=torch.float32)

    net = Net(X_train.shape[1])
    bce = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        net.train()
        data_losses = []
        for idx in torch.randperm(len(X_train)).split(16):
            data_loss = bce(net(X_train[idx]), y_train[idx])
            loss = data_loss + args.l2 * l2_penalty(net)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            data_losses.append(data_loss.item())
        net.eval()
        with torch.no_grad():
            out = net(X_test)
            test_loss = bce(out, y_test).item()
            test_acc = ((out > 0) == (y_test > 0.5)).float().mean().item()
        print(f"epoch {epoch:2d} bce {sum(data_losses) / len(data_losses):.4f} test {test_loss:.4f} acc {test_acc:.3f}")


if __name__ == "__main__":
    main()
