import argparse

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_net(n_in, n_classes, width=64, depth=8):
    layers = []
    for _ in range(depth - 1):
        layers += [nn.Linear(n_in, width), nn.ReLU()]
        n_in = width
    net = nn.Sequential(*layers, nn.Linear(width, n_classes))
    for module in net:
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0, (2 / module.in_features) ** 0.5)
            module.bias.data.zero_()
    return net


def score(net, loader, loss_fn):
    net.eval()
    loss, correct, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            out = net(x)
            loss += loss_fn(out, y).item() * len(y)
            correct += (out.argmax(1) == y).sum().item()
            n += len(y)
    return loss / n, correct / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = make_classification(3000, 20, n_informative=10, n_classes=3, class_sep=1.8, random_state=args.seed)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    mean, std = x[:2400].mean(0), x[:2400].std(0)
    x = (x - mean) / std
    train_loader = DataLoader(TensorDataset(x[:2400], y[:2400]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[2400:], y[2400:]), batch_size=300)

    net = make_net(20, 3)
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for xb, yb in train_loader:
            loss = loss_fn(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(yb)
        val_loss, val_acc = score(net, val_loader, loss_fn)
        print(f"{epoch + 1}/{args.epochs} train loss {total / 2400:.4g} val loss {val_loss:.4g} val acc {val_acc:.3f}")


if __name__ == "__main__":
    main()
