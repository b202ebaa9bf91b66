import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class DigitNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12 * 4, 24),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(24, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x))


def fit(model, train_loader, val_loader, epochs, lr, tag):
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(params, lr=lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        running = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item()
        model.eval()
        correct, total, vloss = 0, 0, 0.0
        with torch.no_grad():
            for x, y in val_loader:
                out = model(x)
                vloss += criterion(out, y).item() * len(y)
                correct += (out.argmax(1) == y).sum().item()
                total += len(y)
        print(
            f"{tag} epoch {epoch + 1}: loss {running / len(train_loader):.3f} "
            f"val loss {vloss / total:.3f} val acc {correct / total:.3f}"
        )


def loaders(x, y, n_train, batch_size):
    order = torch.randperm(len(y))
    tr, va = order[:n_train], order[n_train:]
    return (
        DataLoader(TensorDataset(x[tr], y[tr]), batch_size=batch_size, shuffle=True),
        DataLoader(TensorDataset(x[va], y[va]), batch_size=256),
    )


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--pretrain-epochs", type=int, default=8)
    ap.add_argument("--finetune-epochs", type=int, default=12)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
    x = (x - 4.9) / 6.0
    y = torch.tensor(digits.target)

    # source task: all ten digits
    half = len(x) // 2
    source = DigitNet(10)
    fit(source, *loaders(x[:half], y[:half], 750, 25), args.pretrain_epochs, 3e-3, "source")

    # target task: even or odd, body reused, only the new head is trained
    target = DigitNet(10)
    for p in target.features.parameters():
        p.requires_grad = False
    target.classifier = nn.Linear(24, 2)
    fit(target, *loaders(x[half:], y[half:] % 2, 600, 20), args.finetune_epochs, 1e-2, "target")


if __name__ == "__main__":
    main()
