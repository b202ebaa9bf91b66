"""Which of four machine states produced a vibration window?  LSTM classifier."""

import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Windows(Dataset):
    def __init__(self, n, seed):
        rng = np.random.RandomState(seed)
        self.y = rng.randint(0, 4, n)
        freq = np.array([0.9, 1.5, 2.2, 3.0])[self.y] * rng.uniform(0.93, 1.07, n)
        t = np.linspace(0, 2 * np.pi, 24)
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        wave = np.sin(freq[:, None] * t + phase) * rng.uniform(0.8, 1.2, (n, 1))
        self.x = (wave + 0.1 * rng.randn(n, 24)).astype(np.float32) * 1.4

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i][:, None], self.y[i]  # (time, 1), state


class StateLSTM(nn.Module):
    def __init__(self, hidden=32, states=4):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, states)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1])


def train(model, loader, criterion, optimizer):
    model.train()
    running = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        running += loss.item() * len(y)
    return running / len(loader.dataset)


def test(model, loader, criterion):
    model.eval()
    running, hits = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            running += criterion(out, y).item() * len(y)
            hits += int((out.argmax(1) == y).sum())
    return running / len(loader.dataset), hits / len(loader.dataset)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=8)
    ap.add_argument("--batch-size", type=int, default=40)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    train_loader = DataLoader(Windows(2000, args.seed), batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(Windows(500, args.seed + 1000), batch_size=100)
    model = StateLSTM()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(1, args.epochs + 1):
        train_loss = train(model, train_loader, criterion, optimizer)
        test_loss, acc = test(model, test_loader, criterion)
        print(f"epoch {epoch:2d}: train loss {train_loss:.4f}, test loss {test_loss:.4f}, test accuracy {acc:.3f}")


if __name__ == "__main__":
    main()
