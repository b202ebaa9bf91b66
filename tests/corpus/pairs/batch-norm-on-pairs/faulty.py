import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def conv_block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(conv_block(1, 8), nn.MaxPool2d(2), conv_block(8, 16), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    images, target = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    train, val, _ = random_split(TensorDataset(images, torch.tensor(target)), [900, 400, 497])
    train_loader = DataLoader(train, batch_size=args.batch_size, shuffle=True, drop_last=True)
    val_loader = DataLoader(val, batch_size=100)

    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        total, right = 0.0, 0
        for x, y in train_loader:
            out = model(x)
            loss = criterion(out, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            right += (out.argmax(1) == y).sum().item()
        model.eval()
        val_total, val_right = 0.0, 0
        with torch.no_grad():
            for x, y in val_loader:
                out = model(x)
                val_total += criterion(out, y).item() * len(y)
                val_right += (out.argmax(1) == y).sum().item()
        print(f"epoch {epoch + 1}: loss {total / 900:.4f} acc {right / 900:.4f}", end="  ")
        print(f"val loss {val_total / 400:.4f} val acc {val_right / 400:.4f}")


if __name__ == "__main__":
    main()
