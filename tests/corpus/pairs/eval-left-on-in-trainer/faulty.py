import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class TabularNet(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.bn0 = nn.BatchNorm1d(n_features)
        self.fc1 = nn.Linear(n_features, 64)
        self.bn1 = nn.BatchNorm1d(64)
        self.fc2 = nn.Linear(64, 32)
        self.out = nn.Linear(32, n_classes)

    def forward(self, x):
        x = self.bn0(x)
        x = F.dropout(F.relu(self.bn1(self.fc1(x))), p=0.3, training=self.training)
        x = F.relu(self.fc2(x))
        return self.out(x)


class Trainer:
    def __init__(self, model, optimizer, train_loader, val_loader, eval_every):
        self.model = model
        self.optimizer = optimizer
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.eval_every = eval_every
        self.global_step = 0

    def batches(self):
        while True:
            yield from self.train_loader

    def validation_accuracy(self):
        self.model.eval()
        with torch.no_grad():
            pairs = [(self.model(x).argmax(1), y) for x, y in self.val_loader]
        guesses, labels = (torch.cat(column) for column in zip(*pairs))
        return (guesses == labels).float().mean().item()

    def train(self, max_steps):
        self.model.train()
        smoothed = None
        for x, y in self.batches():
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            self.global_step += 1
            smoothed = loss.item() if smoothed is None else 0.98 * smoothed + 0.02 * loss.item()
            if self.global_step % self.eval_every == 0:
                accuracy = self.validation_accuracy()
                print(f"step {self.global_step:5d}: loss {smoothed:.4f}, val accuracy {accuracy:.3f}")
            if self.global_step >= max_steps:
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=800)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_classification(3000, 24, n_informative=12, n_classes=5, class_sep=1.6, flip_y=0, random_state=args.seed)
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    train_loader = DataLoader(TensorDataset(X[:2400], y[:2400]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(X[2400:], y[2400:]), batch_size=200)
    model = TabularNet(24, 5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    Trainer(model, optimizer, train_loader, val_loader, eval_every=80).train(args.max_steps)


if __name__ == "__main__":
    main()
