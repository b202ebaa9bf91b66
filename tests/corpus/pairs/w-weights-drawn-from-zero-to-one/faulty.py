import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def bars(n, size=14, n_angles=6, seed=0):
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size] - (size - 1) / 2
    labels = rng.integers(0, n_angles, n)
    angle = labels * np.pi / n_angles + rng.normal(0, 0.05, n)
    shift = rng.uniform(-3, 3, n)
    dist = np.sin(angle)[:, None, None] * xx + np.cos(angle)[:, None, None] * yy - shift[:, None, None]
    x = np.exp(-(dist**2) / 1.5) - 0.25 + rng.normal(0, 0.2, (n, size, size))
    return torch.tensor(x, dtype=torch.float32)[:, None], torch.tensor(labels)


def weights_init(m):
    if isinstance(m, (nn.Conv2d, nn.Linear)):
        nn.init.uniform_(m.weight)
        nn.init.zeros_(m.bias)


class Net(nn.Module):
    def __init__(self, num_classes):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(32 * 9, 64)
        self.fc2 = nn.Linear(64, num_classes)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = torch.relu(self.conv2(x))
        x = torch.flatten(x, 1)
        return self.fc2(torch.relu(self.fc1(x)))


def accuracy(net, loader):
    net.eval()
    correct = total = 0
    with torch.no_grad():
        for x, y in loader:
            correct += (net(x).argmax(dim=1) == y).sum().item()
            total += y.numel()
    return 100.0 * correct / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=5e-4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = TensorDataset(*bars(2500, seed=args.seed))
    trainset, testset = random_split(data, [2000, 500])
    trainloader = DataLoader(trainset, batch_size=32, shuffle=True)
    testloader = DataLoader(testset, batch_size=100, shuffle=False)

    net = Net(6)
    net.apply(weights_init)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        net.train()
        running_loss = 0.0
        for i, (inputs, labels) in enumerate(trainloader):
            optimizer.zero_grad()
            loss = criterion(net(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        print(
            "[%d] loss: %.4f  train acc: %.1f %%  test acc: %.1f %%"
            % (epoch + 1, running_loss / len(trainloader), accuracy(net, trainloader), accuracy(net, testloader))
        )
    print("Finished Training")


if __name__ == "__main__":
    main()
