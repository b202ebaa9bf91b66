import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset


class ConvNet(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.n_classes = n_classes
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        fc = nn.Linear(x.shape[1], self.n_classes)
        return fc(x)


def loaders(seed):
    X, y = load_digits(return_X_y=True)
    X = (X / 16.0 - 0.3).astype("float32").reshape(-1, 1, 8, 8)
    parts = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=y)
    X_tr, X_te, y_tr, y_te = (torch.as_tensor(p) for p in parts)
    return (
        DataLoader(TensorDataset(X_tr, y_tr), batch_size=32, shuffle=True),
        DataLoader(TensorDataset(X_te, y_te), batch_size=120),
    )


def train_one_epoch(model, loader, optimizer):
    model.train()
    seen, loss_sum = 0, 0.0
    for images, digits in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), digits)
        loss.backward()
        optimizer.step()
        seen += len(digits)
        loss_sum += loss.item() * len(digits)
    return loss_sum / seen


@torch.no_grad()
def test(model, loader):
    model.eval()
    correct = sum((model(images).argmax(1) == digits).sum().item() for images, digits in loader)
    return correct / len(loader.dataset)


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=10)
    opts = cli.parse_args()
    torch.manual_seed(opts.seed)
    train_loader, test_loader = loaders(opts.seed)
    model = ConvNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(opts.epochs):
        loss = train_one_epoch(model, train_loader, optimizer)
        print(f"epoch {epoch + 1}: train loss {loss:.4f}, test accuracy {100 * test(model, test_loader):.1f}%")
