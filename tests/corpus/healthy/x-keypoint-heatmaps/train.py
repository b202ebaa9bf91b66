import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Crosses(Dataset):
    """Noisy pictures with one cross; the target is a Gaussian bump at its centre."""

    def __init__(self, n, size=16, sigma=1.2):
        self.size = size
        self.centre = torch.randint(3, size - 3, (n, 2))
        self.image = 0.3 * torch.randn(n, 1, size, size)
        grid = torch.arange(size)
        for i, (r, c) in enumerate(self.centre.tolist()):
            self.image[i, 0, r - 2 : r + 3, c] += 1.5
            self.image[i, 0, r, c - 2 : c + 3] += 1.5
        rows = (grid[None, :] - self.centre[:, :1]) ** 2
        cols = (grid[None, :] - self.centre[:, 1:]) ** 2
        self.heat = torch.exp(-(rows[:, :, None] + cols[:, None, :]) / (2 * sigma**2)).unsqueeze(1)

    def __len__(self):
        return len(self.image)

    def __getitem__(self, i):
        return self.image[i], self.heat[i], self.centre[i]


def block(i, o):
    return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]


def pixel_error(heat, centre):
    flat = heat.flatten(1).argmax(dim=1)
    guess = torch.stack([flat // heat.shape[-1], flat % heat.shape[-1]], dim=1)
    return (guess - centre).float().norm(dim=1)


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=8)
    cli.add_argument("--lr", type=float, default=3e-3)
    cfg = cli.parse_args()
    torch.manual_seed(cfg.seed)

    train_loader = DataLoader(Crosses(800), batch_size=16, shuffle=True)
    val_loader = DataLoader(Crosses(200), batch_size=100)
    net = nn.Sequential(*block(1, 12), *block(12, 12), *block(12, 12), nn.Conv2d(12, 1, 1))
    criterion = nn.MSELoss()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=cfg.lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4, 6], gamma=0.3)

    for epoch in range(cfg.epochs):
        net.train()
        losses = []
        for image, heat, _ in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(image), heat)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        net.eval()
        val, errors = 0.0, []
        with torch.no_grad():
            for image, heat, centre in val_loader:
                out = net(image)
                val += criterion(out, heat).item() / len(val_loader)
                errors.append(pixel_error(out, centre))
        error = torch.cat(errors).mean().item()
        print(f"epoch {epoch}: train {sum(losses) / len(losses):.5f} val {val:.5f} mean pixel error {error:.2f}")
