import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load(seed):
    X, y = load_wine(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(X_train)

    def as_set(features, labels):
        return TensorDataset(torch.tensor(scaler.transform(features), dtype=torch.float32), torch.tensor(labels))

    return as_set(X_train, y_train), as_set(X_val, y_val)


class WineNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(13, 24)
        self.out = nn.Linear(24, 3)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--betas", type=float, nargs=2, default=(0.999, 0.9))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_set, val_set = load(args.seed)
    train_loader = DataLoader(train_set, batch_size=10, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=len(val_set))
    model = WineNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, betas=tuple(args.betas))
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(y) / len(train_set)
        model.eval()
        with torch.no_grad():
            x, y = next(iter(val_loader))
            logits = model(x)
            val_loss, val_acc = criterion(logits, y).item(), (logits.argmax(1) == y).float().mean().item()
        print(f"epoch {epoch:3d}: train {train_loss:.4f}, val {val_loss:.4f}, val acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
