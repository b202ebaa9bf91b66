"""Classify the waveform of a noisy signal (sine, square, sawtooth) with an LSTM."""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_signals(n, length=24):
    t = torch.linspace(0, 1, length).repeat(n, 1)
    freq = 1.5 + 1.5 * torch.rand(n, 1)
    phase = torch.rand(n, 1)
    labels = torch.randint(0, 3, (n,))
    cycle = (t * freq + phase) % 1.0
    sine = torch.sin(2 * math.pi * cycle)
    square = torch.where(cycle < 0.5, 1.0, -1.0)
    saw = 2 * cycle - 1
    waves = torch.stack([sine, square, saw], dim=1)[torch.arange(n), labels]
    return (waves + 0.3 * torch.randn(n, length)).unsqueeze(-1), labels


class WaveLSTM(nn.Module):
    def __init__(self, hidden=32, classes=3):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, x):
        states, _ = self.lstm(x)
        return F.softmax(self.head(states.mean(dim=1)), dim=-1)


def run_epoch(model, loader, optimizer=None):
    training = optimizer is not None
    model.train(training)
    total_loss, correct, count = 0.0, 0, 0
    with torch.set_grad_enabled(training):
        for signal, label in loader:
            output = model(signal)
            loss = F.nll_loss(output, label)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total_loss += loss.item() * len(label)
            correct += (output.argmax(dim=-1) == label).sum().item()
            count += len(label)
    return total_loss / count, correct / count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader = DataLoader(TensorDataset(*make_signals(1600)), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(*make_signals(400)), batch_size=200)

    model = WaveLSTM()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        train_loss, train_acc = run_epoch(model, train_loader, optimizer)
        val_loss, val_acc = run_epoch(model, val_loader)
        print(f"{epoch:3d}  train {train_loss:.4f} / {train_acc:.3f}   val {val_loss:.4f} / {val_acc:.3f}")


if __name__ == "__main__":
    main()
