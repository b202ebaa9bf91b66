import argparse

import torch
import torch.nn.functional as F
from torch import nn

PER_CLASS, FEATURES = 500, 12


def leaves():
    """Six species, rows of one species after the other, as in the files they come from."""
    rows, species = [], []
    for k in range(6):
        centre = 0.9 * torch.randn(FEATURES)
        rows.append(centre + torch.randn(PER_CLASS, FEATURES))
        species += [k] * PER_CLASS
    x = torch.cat(rows)
    return (x - x.mean(dim=0)) / x.std(dim=0), torch.tensor(species)


def batches(x, y, size):
    for rows in torch.randperm(len(x)).split(size):
        yield x[rows], y[rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.03)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = leaves()
    test = torch.arange(len(x)) % 5 == 0
    x_train, y_train, x_test, y_test = x[~test], y[~test], x[test], y[test]

    model = nn.Sequential(nn.Linear(FEATURES, 40), nn.ReLU(), nn.Linear(40, 6))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for epoch in range(1, args.epochs + 1):
        model.train()
        total = n = 0
        for xb, yb in batches(x_train, y_train, args.batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(yb)
            n += len(yb)
        model.eval()
        with torch.no_grad():
            scores = model(x_test)
            test_loss = F.cross_entropy(scores, y_test).item()
            test_acc = (scores.argmax(dim=1) == y_test).float().mean().item()
        print(f"epoch {epoch:2d}: train {total / n:.4f}  test {test_loss:.4f}  accuracy {test_acc:.3f}")


if __name__ == "__main__":
    main()
