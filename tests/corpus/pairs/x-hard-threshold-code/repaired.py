import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader


class HashingAutoencoder(nn.Module):
    """Sixteen bits per image."""

    def __init__(self, bits=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, bits))
        self.decoder = nn.Sequential(nn.Linear(bits, 64), nn.ReLU(), nn.Linear(64, 64))

    def encode(self, x):
        chance = torch.sigmoid(self.encoder(x))
        bits = (chance > 0.5).float()
        return bits + chance - chance.detach()

    def forward(self, x):
        return self.decoder(self.encode(x))


def mean_loss(net, images, criterion):
    net.eval()
    with torch.no_grad():
        value = criterion(net(images), images).item()
    net.train()
    return value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    images = torch.tensor(load_digits().data, dtype=torch.float32)
    images = images[torch.randperm(len(images))]
    train, test = images[:1500], images[1500:]
    mean, std = train.mean(), train.std()
    train, test = (train - mean) / std, (test - mean) / std

    net = HashingAutoencoder()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        total = 0.0
        for batch in DataLoader(train, batch_size=30, shuffle=True):
            loss = criterion(net(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        if epoch % 5 == 4:
            test_loss = mean_loss(net, test, criterion)
            print(f"epoch {epoch + 1}: reconstruction error {total / len(train):.4f} (test {test_loss:.4f})")


if __name__ == "__main__":
    main()
