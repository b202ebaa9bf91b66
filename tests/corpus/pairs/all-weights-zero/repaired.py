import argparse

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class TumourNet(nn.Module):
    def __init__(self, n_in=30, hidden=20):
        super().__init__()
        self.fc1 = nn.Linear(n_in, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 1)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def epoch_of_training(net, loader, optimizer, criterion):
    net.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def check(net, loader, criterion):
    net.eval()
    with torch.no_grad():
        losses, hits = [], []
        for x, y in loader:
            logits = net(x)
            losses.append(criterion(logits, y))
            hits.append(((logits > 0) == (y > 0.5)).float())
    return torch.stack(losses).mean().item(), torch.cat(hits).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.005)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_breast_cancer(return_X_y=True)
    data = TensorDataset(torch.tensor(scale(x)).float(), torch.tensor(y).float().unsqueeze(1))
    train_set, val_set = random_split(data, [427, 142])
    train_loader = DataLoader(train_set, batch_size=16, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=142)
    net = TumourNet()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-3)
    for epoch in range(args.epochs):
        train_loss = epoch_of_training(net, train_loader, optimizer, criterion)
        val_loss, val_acc = check(net, val_loader, criterion)
        print(f"epoch {epoch:3d}  train {train_loss:.4f}  val {val_loss:.4f}  acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
