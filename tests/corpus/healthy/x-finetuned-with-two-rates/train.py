import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


def digit_loaders(wanted, shift, batch_size):
    bunch = load_digits()
    keep = torch.tensor([t in wanted for t in bunch.target])
    x = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1)[keep]
    y = torch.tensor(bunch.target)[keep] - shift
    x = (x - 4.88) / 6.02
    perm = torch.randperm(len(x))
    cut = int(0.8 * len(x))
    train, val = perm[:cut], perm[cut:]
    return (
        DataLoader(TensorDataset(x[train], y[train]), batch_size=batch_size, shuffle=True),
        DataLoader(TensorDataset(x[val], y[val]), batch_size=200),
    )


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Linear(24 * 4, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def train(net, loaders, optimizer, epochs, scheduler=None, tag=""):
    train_loader, val_loader = loaders
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        net.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        net.eval()
        with torch.no_grad():
            hits = sum((net(x).argmax(1) == y).sum().item() for x, y in val_loader)
        print(f"{tag} epoch {epoch + 1}: loss {loss.item():.4f} val acc {hits / len(val_loader.dataset):.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pretrain", type=int, default=5)
    parser.add_argument("--finetune", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    net = Net(5)
    optimizer = optim.Adam(net.parameters(), lr=2e-3)
    train(net, digit_loaders(range(5), 0, 24), optimizer, args.pretrain, tag="pretrain")

    loaders = digit_loaders(range(5, 10), 5, 24)
    net.head = nn.Linear(24 * 4, 5)
    optimizer = optim.AdamW(
        [{"params": net.backbone.parameters(), "lr": 1e-3}, {"params": net.head.parameters(), "lr": 4e-3}],
        weight_decay=0.01,
    )
    warmup, total = 15, args.finetune * len(loaders[0])
    scheduler = optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warmup if s < warmup else max(0.0, (total - s) / (total - warmup))
    )
    train(net, loaders, optimizer, args.finetune, scheduler, tag="finetune")


if __name__ == "__main__":
    main()
