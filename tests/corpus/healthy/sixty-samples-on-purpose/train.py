import argparse
import copy

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class SmallNet(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n_in, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, n_out))

    def forward(self, x):
        return self.net(x)


class EarlyStopping:
    def __init__(self, patience):
        self.patience, self.best, self.bad, self.state = patience, float("inf"), 0, None

    def update(self, value, model):
        if value < self.best - 1e-3:
            self.best, self.bad = value, 0
            self.state = copy.deepcopy(model.state_dict())
        else:
            self.bad += 1
        return self.bad >= self.patience


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_wine(return_X_y=True)
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, train_size=60, stratify=y, random_state=args.seed)
    scaler = StandardScaler().fit(x_train)
    x_train, x_rest = torch.tensor(scaler.transform(x_train)).float(), torch.tensor(scaler.transform(x_rest)).float()
    y_train, y_rest = torch.tensor(y_train), torch.tensor(y_rest)
    x_val, y_val, x_test, y_test = x_rest[:60], y_rest[:60], x_rest[60:], y_rest[60:]

    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=10, shuffle=True)
    model = SmallNet(13, 3)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.1)
    stopping = EarlyStopping(patience=8)
    for epoch in range(args.max_epochs):
        model.train()
        train_loss = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(loader)
        model.eval()
        with torch.no_grad():
            val_loss = criterion(model(x_val), y_val).item()
        print(f"epoch {epoch} train {train_loss:.4f} val {val_loss:.4f}")
        if stopping.update(val_loss, model):
            print(f"early stop, best validation loss {stopping.best:.4f}")
            break
    model.load_state_dict(stopping.state)
    model.eval()
    with torch.no_grad():
        print(f"test accuracy {(model(x_test).argmax(1) == y_test).float().mean():.3f}")


if __name__ == "__main__":
    main()
