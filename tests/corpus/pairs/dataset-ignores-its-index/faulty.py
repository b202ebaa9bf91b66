import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


def make_signals(count, seed):
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 64)
    signals, states = [], []
    for _ in range(count):
        state = int(rng.integers(3))
        frequency = (4, 7, 11)[state] + rng.normal(0, 0.4)
        wave = np.sin(2 * np.pi * (frequency * t + rng.random())) + rng.normal(0, 0.5, 64)
        signals.append(wave.astype(np.float32))
        states.append(state)
    return signals, states


class VibrationDataset(Dataset):
    def __init__(self, signals, states):
        self.signals = signals
        self.states = states
        self.cursor = 0

    def __len__(self):
        return len(self.signals)

    def __getitem__(self, index):
        signal = self.signals[self.cursor]
        state = self.states[self.cursor]
        return torch.from_numpy(signal).unsqueeze(0), state


class Trainer:
    def __init__(self, args):
        self.args = args
        self.train_loader = DataLoader(
            VibrationDataset(*make_signals(1200, args.seed)), batch_size=args.batch_size, shuffle=True
        )
        self.val_loader = DataLoader(VibrationDataset(*make_signals(300, args.seed + 99)), batch_size=100)
        self.model = nn.Sequential(
            nn.Conv1d(1, 16, 7, padding=3),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 5, padding=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
            nn.Linear(128, 3),
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=args.lr)

    def train_epoch(self):
        self.model.train()
        losses = []
        for signal, state in self.train_loader:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(signal), state)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        losses, correct, total = [], 0, 0
        for signal, state in self.val_loader:
            logits = self.model(signal)
            losses.append(F.cross_entropy(logits, state).item())
            correct += int((logits.argmax(1) == state).sum())
            total += len(state)
        return sum(losses) / len(losses), correct / total

    def fit(self):
        for epoch in range(1, self.args.epochs + 1):
            train_loss = self.train_epoch()
            val_loss, val_acc = self.validate()
            print(f"Epoch {epoch}/{self.args.epochs} - loss: {train_loss:.4f} - val_loss: {val_loss:.4f}", end=" - ")
            print(f"val_acc: {val_acc:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    Trainer(arguments).fit()
