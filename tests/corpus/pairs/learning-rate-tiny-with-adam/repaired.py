import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class SpeakerFrames(Dataset):
    """Synthetic 13-coefficient frames of five speakers."""

    def __init__(self, n, centres):
        self.y = torch.randint(0, len(centres), (n,))
        wobble = torch.randn(n, 13)
        self.x = centres[self.y] + wobble + 0.5 * torch.tanh(wobble.roll(1, dims=1) * centres[self.y])

    def __len__(self):
        return len(self.y)

    def __getitem__(self, item):
        return {"frame": self.x[item], "speaker": self.y[item]}


class SpeakerNet(nn.Module):
    def __init__(self, n_speakers):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(13, 64), nn.ELU(), nn.Linear(64, 64), nn.ELU())
        self.logits = nn.Linear(64, n_speakers)

    def forward(self, frame):
        return self.logits(self.trunk(frame))


def epoch_pass(model, loader, criterion, optimizer=None):
    loss_sum = hits = count = 0
    for batch in loader:
        logits = model(batch["frame"])
        loss = criterion(logits, batch["speaker"])
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss_sum += loss.item() * len(logits)
        hits += (logits.argmax(1) == batch["speaker"]).sum().item()
        count += len(logits)
    return loss_sum / count, hits / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    centres = 1.1 * torch.randn(5, 13)
    train_loader = DataLoader(SpeakerFrames(2000, centres), batch_size=32, shuffle=True)
    dev_loader = DataLoader(SpeakerFrames(500, centres), batch_size=100)

    model = SpeakerNet(5)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        train_loss, train_acc = epoch_pass(model, train_loader, criterion, optimizer)
        model.eval()
        with torch.no_grad():
            dev_loss, dev_acc = epoch_pass(model, dev_loader, criterion)
        print(f"epoch {epoch:>2} train {train_loss:.3f} ({train_acc:.1%}) dev {dev_loss:.3f} ({dev_acc:.1%})")


if __name__ == "__main__":
    main()
