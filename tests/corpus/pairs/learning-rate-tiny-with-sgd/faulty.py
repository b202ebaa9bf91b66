import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class SmallCNN(nn.Module):
    def __init__(self, channels=12):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.fc = nn.Linear(channels * 16, 10)

    def forward(self, x):
        out = F.max_pool2d(torch.tanh(self.conv1(x)), 2)
        out = torch.tanh(self.conv2(out))
        return self.fc(out.view(out.size(0), -1))


def training_loop(n_epochs, optimizer, model, loss_fn, x, y, x_val, y_val):
    for epoch in range(1, n_epochs + 1):
        model.train()
        loss_train = 0.0
        batches = torch.randperm(len(x)).split(32)
        for idx in batches:
            loss = loss_fn(model(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_train += loss.item()
        model.eval()
        with torch.no_grad():
            out = model(x_val)
            loss_val = loss_fn(out, y_val)
            acc = (out.argmax(dim=1) == y_val).float().mean()
        print(f"Epoch {epoch}, Training loss {loss_train / len(batches):.4f}, Validation {loss_val:.4f} {acc:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=1e-6)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    x = torch.from_numpy(digits.images).float().unsqueeze(1)
    x = (x - x.mean()) / x.std()
    y = torch.from_numpy(digits.target)
    shuffled = torch.randperm(len(x))
    x, y = x[shuffled], y[shuffled]

    model = SmallCNN()
    training_loop(
        n_epochs=args.epochs,
        optimizer=torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9),
        model=model,
        loss_fn=nn.CrossEntropyLoss(),
        x=x[:1440],
        y=y[:1440],
        x_val=x[1440:],
        y_val=y[1440:],
    )
