import argparse
import copy

import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class EarlyStopping:
    def __init__(self, patience):
        self.patience = patience
        self.best = float("inf")
        self.state = None
        self.bad_epochs = 0

    def update(self, value, model):
        if value < self.best - 1e-4:
            self.best = value
            self.state = copy.deepcopy(model.state_dict())
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience


def mean_loss(model, loader, criterion):
    model.eval()
    with torch.no_grad():
        total = sum(criterion(model(x), y).item() * len(y) for x, y in loader)
    return total / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, default=40)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_classification(
        n_samples=2400, n_features=25, n_informative=12, n_classes=3, class_sep=1.2, random_state=args.seed
    )
    X_train, X_rest, y_train, y_rest = train_test_split(X, y, test_size=0.4, stratify=y, random_state=args.seed)
    X_val, X_test, y_val, y_test = train_test_split(X_rest, y_rest, test_size=0.5, random_state=args.seed)
    mean, std = X_train.mean(0), X_train.std(0)

    def loader(features, labels, shuffle=False):
        features = torch.tensor((features - mean) / std, dtype=torch.float32)
        return DataLoader(TensorDataset(features, torch.tensor(labels)), batch_size=32, shuffle=shuffle)

    train_loader, val_loader, test_loader = loader(X_train, y_train, True), loader(X_val, y_val), loader(X_test, y_test)
    model = nn.Sequential(nn.Linear(25, 40), nn.ReLU(), nn.Dropout(0.2), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 3))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    stopper = EarlyStopping(args.patience)

    for epoch in range(1, args.max_epochs + 1):
        model.train()
        running = 0.0
        for x, t in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), t)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(t)
        val_loss = mean_loss(model, val_loader, criterion)
        print(f"epoch {epoch:2d} train {running / len(X_train):.4f} val {val_loss:.4f}")
        if stopper.update(val_loss, model):
            print(f"no improvement for {args.patience} epochs, stopping")
            break

    model.load_state_dict(stopper.state)
    model.eval()
    with torch.no_grad():
        correct = sum((model(x).argmax(1) == t).sum().item() for x, t in test_loader)
    print(f"best val {stopper.best:.4f}, test accuracy {correct / len(X_test):.3f}")


if __name__ == "__main__":
    main()
