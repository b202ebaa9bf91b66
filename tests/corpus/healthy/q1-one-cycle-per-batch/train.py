import argparse

import torch
import torch.nn as nn
from sklearn.datasets import make_moons
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Residual(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.lin1 = nn.Linear(dim, dim)
        self.lin2 = nn.Linear(dim, dim)
        self.act = Swish()

    def forward(self, x):
        return x + self.lin2(self.act(self.lin1(self.norm(x))))


def build(dim, depth):
    return nn.Sequential(
        nn.Linear(2, dim), *[Residual(dim) for _ in range(depth)], nn.LayerNorm(dim), nn.Linear(dim, 2)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--max-lr", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_moons(3000, noise=0.18, random_state=args.seed)
    X = (X - X.mean(0)) / X.std(0)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=args.seed)
    train_ds = TensorDataset(torch.tensor(X_train).float(), torch.tensor(y_train))
    test_x, test_y = torch.tensor(X_test).float(), torch.tensor(y_test)
    loader = DataLoader(train_ds, batch_size=30, shuffle=True)

    model = build(24, 3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.max_lr / 25, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=args.max_lr, epochs=args.epochs, steps_per_epoch=len(loader)
    )

    for epoch in range(args.epochs):
        model.train()
        running = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            scheduler.step()
            running += loss.item()
        model.eval()
        with torch.no_grad():
            logits = model(test_x)
            test_loss = criterion(logits, test_y).item()
            acc = (logits.argmax(1) == test_y).float().mean().item()
        print(
            f"epoch {epoch + 1:2d} lr {scheduler.get_last_lr()[0]:.5f} loss {running / len(loader):.4f} "
            f"test loss {test_loss:.4f} test acc {acc:.3f}"
        )
