import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class VGGish(nn.Module):
    cfg = (16, "M", 32, 32, "M")

    def __init__(self):
        super().__init__()
        layers, channels = [], 1
        for v in self.cfg:
            if v == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, v, 3, padding=1, bias=False), nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
                channels = v
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * 4, 10)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def train(epoch, net, loader, optimizer, scheduler):
    net.train()
    train_loss, correct, total = 0.0, 0, 0
    for inputs, targets in loader:
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = F.cross_entropy(outputs, targets, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        scheduler.step()
        train_loss += loss.item()
        correct += outputs.argmax(1).eq(targets).sum().item()
        total += targets.size(0)
    lr = optimizer.param_groups[0]["lr"]
    print(f"Epoch {epoch}: lr {lr:.5f} | Loss: {train_loss / len(loader):.3f} | Acc: {100.0 * correct / total:.2f}%")


def test(net, loader):
    net.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for inputs, targets in loader:
            outputs = net(inputs)
            loss += F.cross_entropy(outputs, targets).item() * len(targets)
            correct += outputs.argmax(1).eq(targets).sum().item()
    print(f"         test loss {loss / len(loader.dataset):.3f} | Acc: {100.0 * correct / len(loader.dataset):.2f}%")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_digits(return_X_y=True)
    x = (torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) - 4.88) / 6.0
    y = torch.tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    x, y = x[order], y[order]
    trainloader = DataLoader(TensorDataset(x[:1408], y[:1408]), batch_size=64, shuffle=True)
    testloader = DataLoader(TensorDataset(x[1408:], y[1408:]), batch_size=128)
    net = VGGish()
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs * len(trainloader))
    for epoch in range(args.epochs):
        train(epoch, net, trainloader, optimizer, scheduler)
        test(net, testloader)
