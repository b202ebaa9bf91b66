import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.utils import prune


def make_net():
    return nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 80), nn.ReLU(), nn.Linear(80, 10))


def prunable(net):
    return [(m, "weight") for m in net if isinstance(m, nn.Linear)]


def sparsity(net):
    total = sum(m.weight.numel() for m, _ in prunable(net))
    return sum((m.weight == 0).sum().item() for m, _ in prunable(net)) / total


def train(net, x, y, args):
    opt = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    net.train()
    for epoch in range(args.epochs):
        total = 0.0
        for idx in torch.randperm(len(y)).split(args.batch_size):
            opt.zero_grad()
            loss = loss_fn(net(x[idx]), y[idx])
            loss.backward()
            opt.step()
            total += loss.item() * len(idx)
    return total / len(y)


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def rewind(net, start):
    with torch.no_grad():
        for (m, _), (w, b) in zip(prunable(net), start):
            m.weight_orig.copy_(w)
            m.bias.copy_(b)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--batch-size", type=int, default=32)
    p.add_argument("--lr", type=float, default=0.02)
    p.add_argument("--fraction", type=float, default=0.33)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    d = load_digits()
    xtr, xva, ytr, yva = train_test_split(d.data / 16 - 0.3, d.target, test_size=0.3, random_state=args.seed)
    xtr, xva = (torch.tensor(a, dtype=torch.float32) for a in (xtr, xva))
    ytr, yva = torch.tensor(ytr), torch.tensor(yva)

    net = make_net()
    start = [(m.weight.detach().clone(), m.bias.detach().clone()) for m, _ in prunable(net)]
    loss = train(net, xtr, ytr, args)
    print(f"dense:   train loss {loss:.4f}  val acc {accuracy(net, xva, yva):.4f}")
    for r in range(1, args.rounds):
        prune.global_unstructured(prunable(net), prune.L1Unstructured, amount=args.fraction)
        rewind(net, start)
        loss = train(net, xtr, ytr, args)
        acc = accuracy(net, xva, yva)
        print(f"round {r}: sparsity {sparsity(net):.2f}  train loss {loss:.4f}  val acc {acc:.4f}")


if __name__ == "__main__":
    main()
