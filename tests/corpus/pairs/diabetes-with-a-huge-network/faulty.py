import argparse
import copy

import torch
from sklearn.datasets import load_diabetes
from torch import nn


def split(seed, n_train=120, n_val=120):
    x, y = load_diabetes(return_X_y=True)
    x = torch.tensor(x / x.std(0), dtype=torch.float32)
    y = torch.tensor((y - 152.0) / 77.0, dtype=torch.float32)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, val = order[:n_train], order[n_train : n_train + n_val]
    return x[train], y[train], x[val], y[val]


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(10, width)
        self.fc2 = nn.Linear(width, width)
        self.fc3 = nn.Linear(width, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=250)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--patience", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x_train, y_train, x_val, y_val = split(args.seed)
    model = Net(args.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    loss_fn = nn.MSELoss()
    best, best_state, waited = float("inf"), None, 0
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for rows in torch.randperm(len(x_train)).split(20):
            optimizer.zero_grad()
            loss = loss_fn(model(x_train[rows]), y_train[rows])
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(rows) / len(x_train)
        model.eval()
        with torch.no_grad():
            val_loss = loss_fn(model(x_val), y_val).item()
        if val_loss < best:
            best, best_state, waited = val_loss, copy.deepcopy(model.state_dict()), 0
        else:
            waited += 1
        if epoch % 5 == 0:
            print(f"epoch {epoch} train mse {train_loss:.4f} val mse {val_loss:.4f} best {best:.4f}")
        if waited >= args.patience:
            print(f"stopping at epoch {epoch}")
            break
    if waited >= args.patience:
        model.load_state_dict(best_state)
    model.eval()
    with torch.no_grad():
        print(f"final val mse {loss_fn(model(x_val), y_val):.4f} of variance {y_val.var():.4f}")


if __name__ == "__main__":
    main()
