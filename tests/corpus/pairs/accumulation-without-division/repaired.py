import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 16, 10),
        )

    def forward(self, x):
        return self.net(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--accumulation-steps", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    X = (X - 0.305) / 0.376
    y = torch.tensor(y)
    X_train, X_val, y_train, y_val = train_test_split(X, y, train_size=1408, random_state=args.seed)
    loader = DataLoader(TensorDataset(X_train, y_train), batch_size=args.micro_batch, shuffle=True)

    model = ConvNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)

    for epoch in range(1, args.epochs + 1):
        model.train()
        optimizer.zero_grad()
        total = 0.0
        for step, (inputs, labels) in enumerate(loader, start=1):
            loss = criterion(model(inputs), labels)
            total += loss.item()
            loss = loss / args.accumulation_steps
            loss.backward()
            if step % args.accumulation_steps == 0:
                optimizer.step()
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            output = model(X_val)
            val_loss = criterion(output, y_val).item()
            val_acc = (output.argmax(1) == y_val).float().mean().item()
        print(f"epoch {epoch}: train {total / len(loader):.4f}  val {val_loss:.4f}  acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
