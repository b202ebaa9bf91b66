import argparse

import numpy as np
import torch
from sklearn.metrics import recall_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

PROPORTIONS = [0.8, 0.15, 0.05]


def windows(n, rng):
    labels = rng.choice(3, size=n, p=PROPORTIONS)
    t = np.arange(32)
    phase = rng.random((n, 1)) * 2 * np.pi
    speed = np.array([0.25, 0.4, 0.55])[labels][:, None] + rng.normal(0, 0.05, (n, 1))
    x = np.sin(speed * t + phase) + rng.normal(0, 0.5, (n, 32))
    return torch.tensor(x, dtype=torch.float32).unsqueeze(1), torch.tensor(labels)


class WindowNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, 16, 9, padding=4), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(16, 24, 5, padding=2), nn.ReLU()
        )
        self.fc = nn.Linear(24, 3)

    def forward(self, x):
        return self.fc(self.conv(x).amax(dim=-1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    x_train, y_train = windows(2400, rng)
    x_val, y_val = windows(800, rng)
    frequency = torch.bincount(y_train, minlength=3).float()
    sampler = WeightedRandomSampler((1 / frequency)[y_train], num_samples=len(y_train))
    train_loader = DataLoader(TensorDataset(x_train, y_train), batch_size=48, sampler=sampler)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=200)

    model = WindowNet()
    criterion = nn.CrossEntropyLoss(weight=frequency.sum() / (3 * frequency))
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        losses = []
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        guesses = []
        with torch.no_grad():
            for x, _ in val_loader:
                guesses.append(model(x).argmax(1))
        recalls = recall_score(y_val, torch.cat(guesses), average=None, zero_division=0)
        accuracy = (torch.cat(guesses) == y_val).float().mean()
        print(f"epoch {epoch}: loss {np.mean(losses):.4f} val acc {accuracy:.3f} recall per class {recalls.round(3)}")


if __name__ == "__main__":
    main()
