import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Encoder(nn.Module):
    """Small 1-D convolutional network over sensor windows (3 channels, 32 samples)."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv1d(3, 16, 5, padding=2)
        self.conv2 = nn.Conv1d(16, 32, 5, padding=2, stride=2)
        self.conv3 = nn.Conv1d(32, 32, 3, padding=1, stride=2)
        self.fc = nn.Linear(32, num_classes)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x))
        return self.fc(x.mean(dim=-1))


def windows(n, classes):
    """Movements: each class has its own frequency and mix of axes."""
    g = torch.Generator().manual_seed(13)
    mixes = torch.randn(classes, 3, generator=g)
    y = torch.randint(0, classes, (n,))
    t = torch.linspace(0, 1, 32)
    freq = 2.0 + 1.5 * y.float()
    wave = torch.sin(2 * math.pi * (freq[:, None] * t + torch.rand(n, 1)))
    return mixes[y][:, :, None] * wave[:, None, :] + 1.2 * torch.randn(n, 3, 32), y


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--classes", type=int, default=6)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    train_x, train_y = windows(1500, args.classes)
    test_x, test_y = windows(400, args.classes)

    model = Encoder(num_classes=20)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    # this data set has fewer activities than the default
    model.fc = nn.Linear(32, args.classes)

    for epoch in range(1, args.epochs + 1):
        model.train()
        perm = torch.randperm(len(train_x))
        losses = []
        for i in range(0, len(perm), 50):
            b = perm[i : i + 50]
            loss = F.cross_entropy(model(train_x[b]), train_y[b])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            logits = model(test_x)
            test_loss = F.cross_entropy(logits, test_y).item()
            acc = (logits.argmax(1) == test_y).float().mean().item()
        print(f"Epoch {epoch:02d} train {sum(losses) / len(losses):.4f} test {test_loss:.4f} acc {acc:.3f}")


if __name__ == "__main__":
    main()
