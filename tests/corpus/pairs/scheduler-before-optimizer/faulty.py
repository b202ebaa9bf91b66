import argparse

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 20, 3)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(20 * 9, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        x = torch.relu(self.fc1(x.flatten(1)))
        return self.fc2(x)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--max-lr", type=float, default=0.1)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    images, targets = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)
    images = (images - 4.9) / 6.0
    targets = torch.tensor(targets)
    idx = torch.randperm(len(images))
    tr, te = idx[:1437], idx[1437:]
    trainloader = DataLoader(TensorDataset(images[tr], targets[tr]), batch_size=48, shuffle=True)
    testloader = DataLoader(TensorDataset(images[te], targets[te]), batch_size=120)

    net = Net()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=args.max_lr, momentum=0.5)
    scheduler = optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1.0, end_factor=0.05, total_iters=args.epochs * len(trainloader)
    )

    for epoch in range(args.epochs):
        net.train()
        running_loss = 0.0
        for inputs, labels in trainloader:
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            scheduler.step()
            optimizer.step()
            running_loss += loss.item()
        net.eval()
        correct = 0
        with torch.no_grad():
            for inputs, labels in testloader:
                correct += (net(inputs).argmax(1) == labels).sum().item()
        print(f"[{epoch + 1}] loss: {running_loss / len(trainloader):.3f}  test accuracy: {correct / len(te):.1%}")
    print("Finished Training")


if __name__ == "__main__":
    main()
