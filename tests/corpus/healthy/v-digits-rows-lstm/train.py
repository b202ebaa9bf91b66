import argparse
import time

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, images, labels):
        self.images = torch.as_tensor(images / 16.0 - 0.3, dtype=torch.float32)
        self.labels = torch.as_tensor(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, idx):
        return {"rows": self.images[idx], "label": self.labels[idx]}


class RowLSTM(nn.Module):
    """8 time steps with 8 pixels each"""

    def __init__(self, hidden_size=64, num_classes=10):
        super().__init__()
        self.lstm = nn.LSTM(input_size=8, hidden_size=hidden_size, num_layers=1, batch_first=True)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        _, (h_n, _) = self.lstm(x)
        return self.fc(h_n[-1])


def evaluate(model, loader, criterion):
    model.eval()
    loss_sum, correct, n = 0.0, 0, 0
    with torch.no_grad():
        for batch in loader:
            logits = model(batch["rows"])
            loss_sum += criterion(logits, batch["label"]).item() * len(logits)
            correct += (logits.argmax(1) == batch["label"]).sum().item()
            n += len(logits)
    return loss_sum / n, correct / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--batch-size", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    a, b, ya, yb = train_test_split(digits.images, digits.target, test_size=0.2, random_state=args.seed)
    train_loader = DataLoader(Digits(a, ya), batch_size=args.batch_size, shuffle=True)
    valid_loader = DataLoader(Digits(b, yb), batch_size=128, shuffle=False)

    model = RowLSTM()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[8, 12], gamma=0.3)

    for epoch in range(1, args.epochs + 1):
        start = time.time()
        model.train()
        running = 0.0
        for batch in train_loader:
            logits = model(batch["rows"])
            loss = criterion(logits, batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.item()
        scheduler.step()
        val_loss, val_acc = evaluate(model, valid_loader, criterion)
        print(
            f"Epoch {epoch}/{args.epochs} - {time.time() - start:.1f}s - "
            f"loss: {running / len(train_loader):.4f} - "
            f"val_loss: {val_loss:.4f} - val_accuracy: {val_acc:.4f}"
        )


if __name__ == "__main__":
    main()
