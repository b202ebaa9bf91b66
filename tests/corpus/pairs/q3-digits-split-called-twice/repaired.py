import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


def get_data(seed):
    digits = load_digits()
    images = digits.images.reshape(-1, 1, 8, 8) / 16.0
    labels = digits.target
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, random_state=seed)
    train_ds = TensorDataset(torch.tensor(x_train, dtype=torch.float), torch.tensor(y_train))
    test_ds = TensorDataset(torch.tensor(x_test, dtype=torch.float), torch.tensor(y_test))
    return train_ds, test_ds


class DigitNet(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(2 * width * 4, 10)

    def forward(self, x):
        return self.classifier(self.conv(x).flatten(1))


def evaluate(model, loader):
    model.eval()
    losses, correct, n = 0.0, 0, 0
    with torch.no_grad():
        for xb, yb in loader:
            logits = model(xb)
            losses += F.cross_entropy(logits, yb, reduction="sum").item()
            correct += logits.argmax(1).eq(yb).sum().item()
            n += len(yb)
    return losses / n, correct / n


def main(args):
    torch.manual_seed(args.seed)
    train_ds, test_ds = get_data(args.seed)
    train_loader = DataLoader(train_ds, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_ds, batch_size=256)
    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        tr_loss, tr_acc = evaluate(model, train_loader)
        te_loss, te_acc = evaluate(model, test_loader)
        print(f"{epoch}: train {tr_loss:.3f}/{tr_acc:.3f} test {te_loss:.3f}/{te_acc:.3f}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--lr", type=float, default=1e-3)
    cli.add_argument("--epochs", type=int, default=12)
    main(cli.parse_args())
