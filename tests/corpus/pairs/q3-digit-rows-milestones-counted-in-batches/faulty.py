import argparse

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader, Dataset


class RowsOfDigits(Dataset):
    def __init__(self, images, labels):
        self.images = torch.as_tensor(images / 8.0 - 1.0, dtype=torch.float32)
        self.labels = torch.as_tensor(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return {"rows": self.images[i], "label": self.labels[i]}


class RowGRU(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.gru = nn.GRU(8, hidden, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, 10)

    def forward(self, rows):
        _, h = self.gru(rows)
        return self.out(self.norm(h[-1]))


class Trainer:
    def __init__(self, model, train_loader, val_loader, lr, milestones):
        self.model, self.train_loader, self.val_loader = model, train_loader, val_loader
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
        self.scheduler = MultiStepLR(self.optimizer, milestones=milestones, gamma=0.1)

    def train_epoch(self):
        self.model.train()
        total = 0.0
        for batch in self.train_loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(batch["rows"]), batch["label"])
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
            self.optimizer.step()
            self.scheduler.step()
            total += loss.item()
        return total / len(self.train_loader)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        loss, right, n = 0.0, 0, 0
        for batch in self.val_loader:
            out = self.model(batch["rows"])
            loss += self.criterion(out, batch["label"]).item() * len(out)
            right += (out.argmax(-1) == batch["label"]).sum().item()
            n += len(out)
        return loss / n, right / n

    def fit(self, epochs):
        for epoch in range(epochs):
            tr = self.train_epoch()
            va, acc = self.validate()
            print(f"epoch {epoch:2d}  train {tr:.4f}  val {va:.4f}  acc {acc:.4f}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--lr", type=float, default=0.05)
    ap.add_argument("--milestones", type=int, nargs="+", default=[7, 10])
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)
    tr, va = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=args.seed).split(images, labels))
    train_loader = DataLoader(RowsOfDigits(images[tr], labels[tr]), batch_size=32, shuffle=True)
    val_loader = DataLoader(RowsOfDigits(images[va], labels[va]), batch_size=180)
    Trainer(RowGRU(), train_loader, val_loader, args.lr, args.milestones).fit(args.epochs)


if __name__ == "__main__":
    main()
