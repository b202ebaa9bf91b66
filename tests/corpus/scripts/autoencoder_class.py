"""A trainer with a dataclass for its settings, logging, a csv file, a progress bar on stderr and early stopping."""

import csv
import dataclasses
import json
import logging
import sys
from pathlib import Path

import torch
from fingerprint import leave
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.utils.data import DataLoader

log = logging.getLogger("autoencoder")


@dataclasses.dataclass
class Config:
    lr: float = 2e-3
    epochs: int = 8
    batch_size: int = 64
    hidden: int = 6
    patience: int = 2
    output: Path = Path("runs")


def progress(iterable, label):
    total = len(iterable)
    for i, item in enumerate(iterable, 1):
        yield item
        sys.stderr.write(f"\r{label}: {100 * i // total:3d}%|{'#' * (10 * i // total):10}| {i}/{total}")
        sys.stderr.flush()
    sys.stderr.write("\n")


class ConvAutoencoder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, hidden))
        self.decoder = nn.Sequential(
            nn.Linear(hidden, 64), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 2, 2), nn.Sigmoid()
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Trainer:
    def __init__(self, config):
        self.config = config
        config.output.mkdir(exist_ok=True)
        with open(config.output / "config.json", "w") as f:
            json.dump(dataclasses.asdict(config), f, default=str)
        images = torch.tensor(load_digits().images / 16).float().unsqueeze(1)
        self.train_loader = DataLoader(images[:512], config.batch_size, shuffle=True)
        self.val_loader = DataLoader(images[512:768], 128)
        self.model = ConvAutoencoder(config.hidden)
        self.criterion = nn.BCELoss()
        self.optimizer = optim.Adam(self.model.parameters(), lr=config.lr)
        self.scheduler = optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=1, factor=0.3)

    def train_epoch(self, epoch):
        self.model.train()
        total = 0.0
        for x in progress(self.train_loader, f"epoch {epoch}"):
            loss = self.criterion(self.model(x + 0.1 * torch.randn_like(x)), x)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / len(self.train_loader)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        return sum(self.criterion(self.model(x), x).item() for x in self.val_loader) / len(self.val_loader)

    def fit(self):
        best, bad = float("inf"), 0
        with open(self.config.output / "log.csv", "w", newline="") as f:
            writer = csv.DictWriter(f, ["epoch", "train", "val", "lr"])
            writer.writeheader()
            for epoch in range(self.config.epochs):
                row = {"epoch": epoch, "train": self.train_epoch(epoch), "val": self.validate()}
                row["lr"] = self.optimizer.param_groups[0]["lr"]
                writer.writerow(row)
                log.info("epoch %d train %r val %r", epoch, row["train"], row["val"])
                print(row)
                self.scheduler.step(row["val"])
                bad = 0 if row["val"] < best - 0.02 else bad + 1
                if row["val"] < best:
                    best = row["val"]
                    torch.save(self.model.state_dict(), self.config.output / "best.pt")
                if bad > self.config.patience:
                    log.warning("early stopping")
                    break


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    torch.manual_seed(0)
    trainer = Trainer(Config())
    trainer.fit()
    trainer.model.load_state_dict(torch.load("runs/best.pt", weights_only=True))
    leave(trainer.model, trainer.optimizer)
