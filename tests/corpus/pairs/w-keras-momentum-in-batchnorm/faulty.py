import argparse
from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    seed: int = 0
    epochs: int = 6
    batch_size: int = 16
    lr: float = 0.01
    momentum: float = 0.9
    bn_momentum: float = 0.99


def conv_block(cin, cout, cfg):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1, bias=False),
        nn.BatchNorm2d(cout, eps=1e-3, momentum=cfg.bn_momentum),
        nn.ReLU(inplace=True),
    )


class DigitNet(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.block1 = conv_block(1, 16, cfg)
        self.block2 = conv_block(16, 32, cfg)
        self.pool = nn.MaxPool2d(2)
        self.block3 = conv_block(32, 32, cfg)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.pool(self.block2(self.block1(x)))
        x = self.block3(x).mean(dim=(2, 3))
        return self.fc(x)


def run_epoch(model, loader, criterion, optimizer=None):
    training = optimizer is not None
    model.train(training)
    loss_sum, correct, seen = 0.0, 0, 0
    with torch.set_grad_enabled(training):
        for images, labels in loader:
            logits = model(images)
            loss = criterion(logits, labels)
            if training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            loss_sum += loss.item() * labels.size(0)
            correct += (logits.argmax(1) == labels).sum().item()
            seen += labels.size(0)
    return loss_sum / seen, correct / seen


def main(cfg):
    torch.manual_seed(cfg.seed)
    d = load_digits()
    x = torch.tensor(d.images / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(d.target)
    i_tr, i_va = train_test_split(range(len(y)), test_size=0.25, stratify=d.target, random_state=1)
    train = DataLoader(TensorDataset(x[i_tr], y[i_tr]), batch_size=cfg.batch_size, shuffle=True)
    val = DataLoader(TensorDataset(x[i_va], y[i_va]), batch_size=64)
    model = DigitNet(cfg)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=cfg.momentum)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=cfg.epochs)
    for epoch in range(cfg.epochs):
        tl, ta = run_epoch(model, train, criterion, optimizer)
        vl, va = run_epoch(model, val, criterion)
        sched.step()
        print(
            f"Epoch {epoch + 1}/{cfg.epochs} - loss: {tl:.4f} - acc: {ta:.4f} - val_loss: {vl:.4f} - val_acc: {va:.4f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    a = parser.parse_args()
    main(Config(seed=a.seed, epochs=a.epochs))
