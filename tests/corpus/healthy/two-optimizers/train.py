"""Body trained with SGD and head with Adam, each with a scheduler of its own."""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR, StepLR
from torch.utils.data import DataLoader, TensorDataset


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(32)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return x.mean(dim=(2, 3))


class Trainer:
    def __init__(self, args):
        self.body, self.head = Body(), nn.Linear(32, 10)
        self.opt_body = torch.optim.SGD(self.body.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.opt_head = torch.optim.Adam(self.head.parameters(), lr=1e-2)
        self.sched_body = MultiStepLR(self.opt_body, milestones=[6, 9], gamma=0.1)
        self.sched_head = StepLR(self.opt_head, step_size=4, gamma=0.5)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
        self.epochs = args.epochs

    def train_step(self, x, y):
        loss = self.criterion(self.head(self.body(x)), y)
        self.opt_body.zero_grad()
        self.opt_head.zero_grad()
        loss.backward()
        self.opt_body.step()
        self.opt_head.step()
        return loss.item()

    @torch.no_grad()
    def validate(self, loader):
        self.body.eval()
        self.head.eval()
        right = sum((self.head(self.body(x)).argmax(1) == y).sum().item() for x, y in loader)
        return right / len(loader.dataset)

    def fit(self, train, val):
        for epoch in range(self.epochs):
            self.body.train()
            self.head.train()
            mean = sum(self.train_step(x, y) for x, y in train) / len(train)
            self.sched_body.step()
            self.sched_head.step()
            print(f"epoch {epoch:2d} loss {mean:.4f} val {self.validate(val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    X, y = load_digits(return_X_y=True)
    X = torch.tensor(X, dtype=torch.float32).view(-1, 1, 8, 8) / 16 - 0.3
    Xt, Xv, yt, yv = train_test_split(X, torch.tensor(y), test_size=0.25, random_state=args.seed, stratify=y)
    train = DataLoader(TensorDataset(Xt, yt), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(Xv, yv), batch_size=256)
    Trainer(args).fit(train, val)
