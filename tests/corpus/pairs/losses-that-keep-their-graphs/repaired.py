import argparse

import torch
from torch import nn


def blobs(n, size=20):
    """Images with one bright spot of random place and width."""
    axis = torch.linspace(-1, 1, size)
    centre = torch.rand(n, 2) * 1.4 - 0.7
    width = torch.rand(n, 1, 1) * 0.2 + 0.1
    dy = (axis[None, :, None] - centre[:, 0, None, None]) ** 2
    dx = (axis[None, None, :] - centre[:, 1, None, None]) ** 2
    return torch.exp(-(dy + dx) / (2 * width**2)).flatten(1)


class AutoEncoder(nn.Module):
    def __init__(self, n_pixels, code=6):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(n_pixels, 256), nn.ReLU(), nn.Linear(256, code))
        self.decode = nn.Sequential(nn.Linear(code, 256), nn.ReLU(), nn.Linear(256, n_pixels))

    def forward(self, x):
        return self.decode(self.encode(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    images = blobs(4000)
    held_back = blobs(500)
    mean, std = images.mean(), images.std()
    images, held_back = (images - mean) / std, (held_back - mean) / std
    model = AutoEncoder(images.shape[1])
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    total_loss = 0.0
    for step in range(1, args.steps + 1):
        x = images[torch.randint(len(images), (args.batch_size,))]
        optimizer.zero_grad()
        loss = criterion(model(x), x)
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
        if step % 100 == 0:
            with torch.no_grad():
                val_loss = criterion(model(held_back), held_back)
            print(f"step {step}: mean loss so far {total_loss / step:.4f}, validation {val_loss:.4f}")


if __name__ == "__main__":
    main()
