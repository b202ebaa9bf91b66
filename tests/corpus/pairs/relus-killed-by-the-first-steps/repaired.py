import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description="digits with a three-layer MLP")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=0.003)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)


class Perceptron(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))

    def forward(self, x):
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)


def loaders(batch_size, seed):
    x, y = load_digits(return_X_y=True)
    x = (x - 4.9) / 6.0
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    train = TensorDataset(torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train))
    test = TensorDataset(torch.tensor(x_test, dtype=torch.float32), torch.tensor(y_test))
    return DataLoader(train, batch_size, shuffle=True, drop_last=True), DataLoader(test, 360)


def main():
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train_loader, test_loader = loaders(args.batch_size, args.seed)
    model = Perceptron([64, 64, 64, 10])
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        model.train()
        mean_loss = 0.0
        for i, (x, y) in enumerate(train_loader):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            mean_loss += (loss.item() - mean_loss) / (i + 1)
        model.eval()
        with torch.no_grad():
            x, y = next(iter(test_loader))
            out = model(x)
        print(f"{epoch}: {mean_loss:.4f} {F.cross_entropy(out, y):.4f} {(out.argmax(1) == y).float().mean():.4f}")


if __name__ == "__main__":
    main()
