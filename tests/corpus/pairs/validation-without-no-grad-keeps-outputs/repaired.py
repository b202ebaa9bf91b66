import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def spectrograms(n, generator):
    """Images of 24x24 with up to three bands at known heights; the tags say which."""
    tags = (torch.rand(n, 3, generator=generator) < 0.5).float()
    image = 0.7 * torch.randn(n, 24, 24, generator=generator)
    for k, row in enumerate((4, 12, 19)):
        strength = 0.6 + torch.rand(n, 1, generator=generator)
        image[:, row, :] += tags[:, k : k + 1] * strength
    return TensorDataset(image.unsqueeze(1), tags)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1, stride=2)
        self.fc = nn.Linear(24 * 12, 3)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return self.fc(x.mean(dim=3).flatten(1))


class Monitor:
    """Collects what the validation gave, to look at after the training."""

    def __init__(self):
        self.history = []

    def record(self, logits, tags):
        self.history.append((logits, tags))

    def exact_match(self, last):
        rows = self.history[-last:]
        hits = sum(((logits > 0) == (tags > 0.5)).all(dim=1).sum().item() for logits, tags in rows)
        return hits / sum(len(tags) for _, tags in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(spectrograms(1200, generator), batch_size=40, shuffle=True)
    val_loader = DataLoader(spectrograms(600, generator), batch_size=100)
    model = Tagger()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    monitor = Monitor()
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for image, tags in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(image), tags)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        val_loss = 0.0
        with torch.no_grad():
            for image, tags in val_loader:
                logits = model(image)
                val_loss += criterion(logits, tags) / len(val_loader)
                monitor.record(logits, tags)
        match = monitor.exact_match(len(val_loader))
        print(f"epoch {epoch}: train {train_loss:.4f} val {val_loss:.4f} exact match {match:.3f}")


if __name__ == "__main__":
    main()
