import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def spectra(n, generator):
    """Spectra of four substances: a peak at a known place, and an impurity anywhere."""
    channel = torch.arange(60).float()
    peaks = torch.tensor([10.0, 22.0, 34.0, 46.0])
    label = torch.randint(0, 4, (n,), generator=generator)
    place = peaks[label] + torch.randn(n, generator=generator)
    centre = torch.stack([place, 60 * torch.rand(n, generator=generator)], dim=1)
    height = torch.tensor([[1.2], [0.6]]) * (0.7 + 0.6 * torch.rand(n, 2, 1, generator=generator))
    x = (height * torch.exp(-((channel - centre.unsqueeze(-1)) ** 2) / 8)).sum(1)
    x = x + 0.1 * torch.randn(n, 60, generator=generator)
    return (x - x.mean()) / x.std(), label


class SpectrumDataset(Dataset):
    def __init__(self, x, y, max_shift=0):
        self.x, self.y, self.max_shift = x, y, max_shift

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i]
        if self.max_shift:
            x = x.roll(int(torch.randint(-self.max_shift, self.max_shift + 1, (1,))))
        return x, self.y[i]


class SpectrumNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(60, 48)
        self.norm = nn.LayerNorm(48)
        self.fc2 = nn.Linear(48, 4)

    def forward(self, x):
        return self.fc2(torch.relu(self.norm(self.fc1(x))))


def run_epoch(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total, hits, n = 0.0, 0, 0
    for x, y in loader:
        with torch.set_grad_enabled(optimizer is not None):
            logits = model(x)
            loss = criterion(logits, y)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * len(y)
        hits += (logits.argmax(1) == y).sum().item()
        n += len(y)
    return total / n, hits / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--max-shift", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_set = SpectrumDataset(*spectra(1600, generator), max_shift=args.max_shift)
    val_set = SpectrumDataset(*spectra(400, generator))
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=200)
    model = SpectrumNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        train_loss, train_acc = run_epoch(model, train_loader, criterion, optimizer)
        val_loss, val_acc = run_epoch(model, val_loader, criterion)
        print(f"epoch {epoch}: train {train_loss:.3f} {train_acc:.3f} | val {val_loss:.3f} {val_acc:.3f}")


if __name__ == "__main__":
    main()
