import argparse
import copy
from dataclasses import asdict, dataclass

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score, log_loss
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    max_epochs: int = 25
    batch_size: int = 16
    hidden: int = 32
    dropout: float = 0.2
    lr: float = 4e-3
    patience: int = 3


class EarlyStopping:
    def __init__(self, patience):
        self.patience, self.best, self.bad, self.state = patience, float("inf"), 0, None

    def update(self, value, model):
        if value < self.best - 1e-4:
            self.best, self.bad, self.state = value, 0, copy.deepcopy(model.state_dict())
        else:
            self.bad += 1
        return self.bad >= self.patience


def predict(model, x):
    model.eval()
    with torch.no_grad():
        return model(x).softmax(dim=1).numpy()


def main(settings):
    print(asdict(settings))
    torch.manual_seed(settings.seed)
    x, y = make_classification(
        2600, 18, n_informative=8, n_redundant=4, n_classes=3, weights=[0.5, 0.3, 0.2], random_state=settings.seed
    )
    x = (x - x[:1600].mean(0)) / x[:1600].std(0)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    train, val, test = slice(0, 1600), slice(1600, 2100), slice(2100, 2600)
    loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=settings.batch_size, shuffle=True)

    model = nn.Sequential(
        nn.Linear(18, settings.hidden),
        nn.GELU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, settings.hidden),
        nn.GELU(),
        nn.Linear(settings.hidden, 3),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.02)
    criterion = nn.CrossEntropyLoss()
    stopper = EarlyStopping(settings.patience)

    for epoch in range(settings.max_epochs):
        model.train()
        losses = []
        for xb, yb in loader:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        val_loss = log_loss(y[val].numpy(), predict(model, x[val]))
        print(f"epoch {epoch + 1}: train {np.mean(losses):.4f}, val {val_loss:.4f}")
        if stopper.update(val_loss, model):
            print("no better for a while, stopping")
            break

    model.load_state_dict(stopper.state)
    probabilities = predict(model, x[test])
    print(f"test balanced accuracy {balanced_accuracy_score(y[test].numpy(), probabilities.argmax(1)):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, default=25)
    main(Settings(**vars(parser.parse_args())))
