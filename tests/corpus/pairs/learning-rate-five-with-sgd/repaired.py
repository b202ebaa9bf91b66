import argparse

import torch
from sklearn.datasets import make_classification
from torch import nn


class Net(nn.Module):
    def __init__(self, d_in, d_hidden, n_out):
        super().__init__()
        self.fc1 = nn.Linear(d_in, d_hidden)
        self.fc2 = nn.Linear(d_hidden, d_hidden)
        self.fc3 = nn.Linear(d_hidden, n_out)

    def forward(self, x):
        h = torch.tanh(self.fc1(x))
        h = torch.tanh(self.fc2(h))
        return self.fc3(h)


def iterate(x, y, batch_size):
    for rows in torch.randperm(len(x)).split(batch_size):
        yield x[rows], y[rows]


def main(seed, epochs, lr):
    torch.manual_seed(seed)
    x, y = make_classification(
        n_samples=2400, n_features=18, n_informative=10, n_classes=3, class_sep=1.6, flip_y=0.0, random_state=seed
    )
    x = torch.as_tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    y = torch.as_tensor(y)
    x_fit, y_fit, x_val, y_val = x[:2000], y[:2000], x[2000:], y[2000:]
    net = Net(18, 50, 3)
    sgd = torch.optim.SGD(net.parameters(), lr=lr)
    cross_entropy = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        net.train()
        fit_loss = 0.0
        for xb, yb in iterate(x_fit, y_fit, 25):
            sgd.zero_grad()
            loss = cross_entropy(net(xb), yb)
            loss.backward()
            sgd.step()
            fit_loss += loss.item() * len(xb) / len(x_fit)
        net.eval()
        with torch.no_grad():
            val_logits = net(x_val)
            val_loss = cross_entropy(val_logits, y_val).item()
            val_acc = (val_logits.argmax(dim=1) == y_val).float().mean().item()
        print(f"{epoch:02d}  fit {fit_loss:8.4f}  val {val_loss:8.4f}  acc {val_acc:.3f}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=15)
    cli.add_argument("--lr", type=float, default=0.05)
    options = cli.parse_args()
    main(options.seed, options.epochs, options.lr)
