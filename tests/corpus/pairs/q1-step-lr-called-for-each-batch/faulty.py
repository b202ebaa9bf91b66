import argparse

import torch
import torch.nn as nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset


class BlobDataset(Dataset):
    """16x16 pictures with one bright blob; the target is its centre in [-1, 1]."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.centres = torch.rand(n, 2, generator=g) * 1.6 - 0.8
        axis = torch.linspace(-1, 1, 16)
        yy, xx = torch.meshgrid(axis, axis, indexing="ij")
        d2 = (xx - self.centres[:, 0, None, None]) ** 2 + (yy - self.centres[:, 1, None, None]) ** 2
        self.pictures = torch.exp(-d2 / 0.06) + 0.15 * torch.randn(n, 16, 16, generator=g)

    def __len__(self):
        return len(self.centres)

    def __getitem__(self, i):
        return self.pictures[i].unsqueeze(0), self.centres[i]


class KeypointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(16 * 16, 32), nn.LeakyReLU(0.1), nn.Linear(32, 2))

    def forward(self, x):
        return self.head(self.backbone(x))


def train(model, loader, optimizer, scheduler, loss_fn):
    model.train()
    total = 0.0
    for pictures, centres in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(pictures), centres)
        loss.backward()
        optimizer.step()
        total += loss.item()
        scheduler.step()
    return total / len(loader)


def validate(model, loader):
    model.eval()
    errors = []
    with torch.no_grad():
        for pictures, centres in loader:
            errors.append((model(pictures) - centres).norm(dim=1))
    return torch.cat(errors).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--step-size", type=int, default=5)
    parser.add_argument("--gamma", type=float, default=0.4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_loader = DataLoader(BlobDataset(2000, args.seed), batch_size=40, shuffle=True)
    val_loader = DataLoader(BlobDataset(400, args.seed + 1000), batch_size=200)
    model = KeypointNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=args.step_size, gamma=args.gamma)
    loss_fn = nn.MSELoss()

    for epoch in range(1, args.epochs + 1):
        train_loss = train(model, train_loader, optimizer, scheduler, loss_fn)
        error = validate(model, val_loader)
        print(
            f"epoch {epoch}: train loss {train_loss:.5f}, mean distance {error:.4f}, lr {scheduler.get_last_lr()[0]:.2e}"
        )


if __name__ == "__main__":
    main()
