"""Trains a small classifier on 1,797 handwritten digits; on the CPU it takes a few seconds.

    python examples/digits.py
    python examples/digits.py --lr 0.05 --epochs 20
    python examples/digits.py --bug shuffled-apart

`--bug` makes a mistake that people really make; the tracker is not told.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tracker import Run, track

BUGS = {
    "shuffled-apart": "inputs and labels are shuffled separately, so that they no longer belong together",
    "no-zero-grad": "the gradients of all earlier batches are added up",
    "huge-lr": "the learning rate is a hundred times what was meant",
}


def digits(bug: str | None) -> tuple[TensorDataset, TensorDataset]:
    """1,437 images for training and 360 for validation: (64,) floats in [0, 1], and labels 0 to 9."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16, dtype=torch.float32)
    y = torch.tensor(labels)

    order = torch.randperm(len(x))
    x, y = x[order], y[torch.randperm(len(y)) if bug == "shuffled-apart" else order]

    return TensorDataset(x[:1437], y[:1437]), TensorDataset(x[1437:], y[1437:])


def evaluate(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> tuple[float, float]:
    """Mean loss and accuracy over the loader."""
    model.eval()
    loss, right, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            logits = model(x)
            loss += nn.functional.cross_entropy(logits, y, reduction="sum").item()
            right += int((logits.argmax(1) == y).sum())
            n += len(y)
    return loss / n, right / n


def main() -> None:
    """Trains, and prints the run's ID."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bug", choices=BUGS, help="; ".join(f"{name}: {what}" for name, what in BUGS.items()))
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    training, validation = digits(args.bug)
    loader = DataLoader(training, batch_size=64, shuffle=True)
    validation_loader = DataLoader(validation, batch_size=256)

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    lr = args.lr * 100 if args.bug == "huge-lr" else args.lr
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    run = Run("digits", experiment="digits", params={"lr": lr, "epochs": args.epochs, "batch_size": 64, "hidden": 64})
    with track(run):
        for _ in range(args.epochs):
            model.train()
            for x, y in loader:
                if args.bug != "no-zero-grad":
                    optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()

            val_loss, val_acc = evaluate(model, validation_loader)
            run.log(val_loss=val_loss, val_acc=val_acc)

    print(run.id)


if __name__ == "__main__":
    main()
