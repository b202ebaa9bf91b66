import argparse

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class PriorNet(nn.Module):
    """An MLP whose output bias starts at the class prior."""

    def __init__(self, n_in, class_counts, hidden=32):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n_in, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.output = nn.Linear(hidden, len(class_counts))
        with torch.no_grad():
            self.output.bias.copy_(class_counts)

    def forward(self, x):
        return self.output(self.hidden(x))


def train(model, loader, optimizer, criterion):
    model.train()
    total, n = 0.0, 0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        total, n = total + loss.item(), n + 1
    return total / n


def validate(model, loader, criterion):
    model.eval()
    with torch.no_grad():
        pairs = [(model(x), y) for x, y in loader]
    loss = sum(criterion(out, y).item() for out, y in pairs) / len(pairs)
    return loss, sum((out.argmax(1) == y).float().mean().item() for out, y in pairs) / len(pairs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = make_classification(
        n_samples=2400,
        n_features=15,
        n_informative=9,
        n_classes=3,
        weights=[0.5, 0.3, 0.2],
        class_sep=1.5,
        random_state=args.seed,
    )
    x, y = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32), torch.tensor(y)
    train_loader = DataLoader(TensorDataset(x[:1920], y[:1920]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1920:], y[1920:]), batch_size=240)
    model = PriorNet(15, torch.bincount(y[:1920]).float())
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[8], gamma=0.2)
    for epoch in range(args.epochs):
        train_loss = train(model, train_loader, optimizer, criterion)
        scheduler.step()
        val_loss, val_acc = validate(model, val_loader, criterion)
        print(f"epoch {epoch}: train {train_loss:.3f} val {val_loss:.3f} acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
