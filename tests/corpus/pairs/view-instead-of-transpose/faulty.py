import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def gestures(n, length=16):
    """Paths in the plane: circle, line, zigzag or wave, in any direction, with tremor."""
    label = torch.randint(0, 4, (n,))
    t = torch.linspace(0, 1, length).expand(n, length)
    shapes = torch.stack(
        [
            torch.stack([torch.cos(6.2832 * t), torch.sin(6.2832 * t)], -1),
            torch.stack([2 * t - 1, torch.zeros_like(t)], -1),
            torch.stack([2 * t - 1, (4 * t % 1 - 0.5) * 2], -1),
            torch.stack([2 * t - 1, torch.sin(6.2832 * t)], -1),
        ]
    )
    path = shapes[label, torch.arange(n)]
    angle = torch.rand(n) * 6.2832
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(n, 2, 2)
    return path @ rotation + 0.15 * torch.randn(n, length, 2), label


class GestureLSTM(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden)
        self.fc = nn.Linear(hidden, 4)

    def forward(self, x):
        batch, length, features = x.shape
        x = x.view(length, batch, features)
        _, (h, _) = self.lstm(x)
        return self.fc(h[-1])


class Trainer:
    def __init__(self, model, train_loader, val_loader, lr):
        self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def fit(self, epochs):
        for epoch in range(1, epochs + 1):
            self.model.train()
            losses = []
            for x, y in self.train_loader:
                loss = F.cross_entropy(self.model(x), y)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                losses.append(loss.item())
            val_loss, accuracy = self.evaluate()
            print(f"[{epoch}/{epochs}] {sum(losses) / len(losses):.4f} {val_loss:.4f} acc={accuracy:.3f}")

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        loss = correct = total = 0
        for x, y in self.val_loader:
            logits = self.model(x)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(1) == y).sum().item()
            total += len(y)
        return loss / total, correct / total


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_data, val_data = TensorDataset(*gestures(1600)), TensorDataset(*gestures(400))
    trainer = Trainer(
        GestureLSTM(),
        DataLoader(train_data, batch_size=32, shuffle=True),
        DataLoader(val_data, batch_size=100),
        args.lr,
    )
    trainer.fit(args.epochs)
