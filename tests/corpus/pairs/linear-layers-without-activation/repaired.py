import argparse

import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class MoonNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 2)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        x = self.fc3(x)
        return x


def make_loader(n, seed, **kwargs):
    x, y = make_moons(n, noise=0.15, random_state=seed)
    x = (x - [0.5, 0.25]) / [0.87, 0.5]
    return DataLoader(TensorDataset(torch.tensor(x).float(), torch.tensor(y)), **kwargs)


def train(model, loader, optimizer, criterion):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()


def test(model, loader, criterion):
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            output = model(x)
            loss += criterion(output, y).item()
            correct += (output.argmax(1) == y).sum().item()
    return loss / len(loader), correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader = make_loader(1500, args.seed, batch_size=32, shuffle=True)
    test_loader = make_loader(500, args.seed + 1, batch_size=250)
    model = MoonNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, args.epochs + 1):
        train(model, train_loader, optimizer, criterion)
        scheduler.step()
        train_loss, train_acc = test(model, train_loader, criterion)
        test_loss, test_acc = test(model, test_loader, criterion)
        print(f"epoch {epoch}: train {train_loss:.3f} / {train_acc:.3f}, test {test_loss:.3f} / {test_acc:.3f}")


if __name__ == "__main__":
    main()
