import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 8


def sensor_data(n, noise=0.9):
    """Each class is a curve with its own frequency and phase, seen by 40 sensors."""
    grid = torch.linspace(0, 1, 40)
    freq = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0])
    phase = torch.tensor([0.0, 1.6, 0.0, 1.6, 0.0, 1.6, 0.0, 1.6])
    y = torch.randint(CLASSES, (n,))
    shift = 0.35 * torch.randn(n, 1)
    x = torch.sin(6.2832 * freq[y, None] * grid + phase[y, None] + shift)
    return x + noise * torch.randn(n, 40), y


def weights_init(m):
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight)
        nn.init.zeros_(m.bias)


class TanhNet(nn.Module):
    def __init__(self, width=192):
        super().__init__()
        self.l1 = nn.Linear(40, width)
        self.l2 = nn.Linear(width, width)
        self.l3 = nn.Linear(width, width)
        self.l4 = nn.Linear(width, width)
        self.out = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = torch.tanh(self.l1(x))
        x = torch.tanh(self.l2(x))
        x = torch.tanh(self.l3(x))
        x = torch.tanh(self.l4(x))
        return self.out(x)


def get_args():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--lr", type=float, default=0.005)
    p.add_argument("--width", type=int, default=192)
    return p.parse_args()


def main():
    args = get_args()
    torch.manual_seed(args.seed)
    train_ds = TensorDataset(*sensor_data(3000))
    test_x, test_y = sensor_data(800)
    loader = DataLoader(train_ds, batch_size=50, shuffle=True)

    net = TanhNet(args.width)
    net.apply(weights_init)
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    loss_fn = nn.CrossEntropyLoss()

    for epoch in range(args.epochs):
        net.train()
        s = 0.0
        for x, y in loader:
            loss = loss_fn(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            s += loss.item()
        net.eval()
        with torch.no_grad():
            out = net(test_x)
        print(
            "epoch %2d   train loss %.4f   test loss %.4f   test accuracy %.3f"
            % (epoch + 1, s / len(loader), loss_fn(out, test_y), (out.argmax(1) == test_y).float().mean())
        )


main()
