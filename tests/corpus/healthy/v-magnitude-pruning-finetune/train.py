"""Dense training, then 80% magnitude pruning, then fine-tuning at a smaller rate."""

import argparse

import torch
import torch.nn as nn
import torch.nn.utils.prune as prune
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


def get_loaders(batch_size):
    d = load_digits()
    x = torch.tensor(d.data, dtype=torch.float32) / 16
    y = torch.tensor(d.target)
    perm = torch.randperm(len(x))
    x, y = x[perm], y[perm]
    x = (x - x[:1400].mean()) / x[:1400].std()
    train = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size, shuffle=True)
    test = DataLoader(TensorDataset(x[1400:], y[1400:]), 200)
    return train, test


def train_epochs(name, model, train, test, optimizer, epochs):
    ce = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        running = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = ce(model(x), y)
            loss.backward()
            optimizer.step()
            running += loss.item()
        print(f"{name} epoch {epoch + 1}: loss {running / len(train):.4f} test acc {accuracy(model, test):.4f}")


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        hits = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return hits / len(loader.dataset)


def sparsity(model):
    w = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Linear)])
    return (w == 0).float().mean().item()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--dense-epochs", type=int, default=8)
    p.add_argument("--sparse-epochs", type=int, default=6)
    p.add_argument("--amount", type=float, default=0.8)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    train, test = get_loaders(32)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    train_epochs("dense", model, train, test, opt, args.dense_epochs)

    layers = [(m, "weight") for m in model if isinstance(m, nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=args.amount)
    print(f"pruned: sparsity {sparsity(model):.2f} test acc {accuracy(model, test):.4f}")

    opt = torch.optim.Adam(model.parameters(), lr=5e-4)
    train_epochs("sparse", model, train, test, opt, args.sparse_epochs)
    for m, name in layers:
        prune.remove(m, name)
    print(f"final: sparsity {sparsity(model):.2f} test acc {accuracy(model, test):.4f}")


if __name__ == "__main__":
    main()
