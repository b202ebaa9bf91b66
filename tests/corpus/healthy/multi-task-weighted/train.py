"""One trunk, two heads: the digit and its amount of ink, with fixed loss weights."""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24 * 16, 48),
            nn.ReLU(),
        )
        self.digit = nn.Linear(48, 10)
        self.ink = nn.Linear(48, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.digit(h), self.ink(h).squeeze(1)


def losses(model, batch, weights):
    x, digit, ink = batch
    logits, amount = model(x)
    parts = {"digit": F.cross_entropy(logits, digit), "ink": F.mse_loss(amount, ink)}
    total = sum(weights[name] * value for name, value in parts.items())
    return total, parts, logits


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--ink-weight", type=float, default=0.3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    ink = images.mean(dim=(1, 2, 3))
    ink = (ink - ink.mean()) / ink.std()
    images = (images - 0.3) / 0.37
    dataset = TensorDataset(images, torch.tensor(digits.target), ink)
    train_set, val_set = random_split(dataset, [1437, 360])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=120)

    model = MultiTask()
    weights = {"digit": 1.0, "ink": args.ink_weight}
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        for batch in train_loader:
            total, parts, _ = losses(model, batch, weights)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
        model.eval()
        right, ink_error = 0, 0.0
        with torch.no_grad():
            for batch in val_loader:
                _, parts, logits = losses(model, batch, weights)
                right += (logits.argmax(1) == batch[1]).sum().item()
                ink_error += parts["ink"].item() / len(val_loader)
        print(
            f"epoch {epoch + 1:2d}: total {total.item():.4f} | val accuracy {right / 360:.3f} ink mse {ink_error:.4f}"
        )


if __name__ == "__main__":
    main()
