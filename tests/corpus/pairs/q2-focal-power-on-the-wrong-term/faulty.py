import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from sklearn.metrics import balanced_accuracy_score
from torch import nn


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits, target):
        logp = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
        pt = logp.exp()
        return -(pt**self.gamma * logp).mean()


class Detector(nn.Module):
    def __init__(self, d_in, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(d_in, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        return self.out(self.body(x))


def get_data(seed):
    x, y = make_moons(3000, noise=0.15, random_state=seed)
    keep = (y == 0) | (torch.rand(3000, generator=torch.Generator().manual_seed(seed)).numpy() < 0.5)
    x = torch.tensor(x[keep], dtype=torch.float32)
    y = torch.tensor(y[keep])
    x = (x - x.mean(0)) / x.std(0)
    n = int(0.75 * len(x))
    return (x[:n], y[:n]), (x[n:], y[n:])


def train_step(model, batch, criterion, optimizer):
    x, y = batch
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate(model, x, y, criterion):
    model.eval()
    out = model(x)
    model.train()
    return criterion(out, y).item(), balanced_accuracy_score(y.numpy(), out.argmax(1).numpy())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--gamma", type=float, default=2.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    (x, y), (xv, yv) = get_data(args.seed)
    model = Detector(2, 32)
    criterion = FocalLoss(args.gamma)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        perm = torch.randperm(len(x))
        total = torch.zeros(())
        steps = 0
        for idx in perm.split(32):
            total += train_step(model, (x[idx], y[idx]), criterion, optimizer)
            steps += 1
        val_loss, bal_acc = evaluate(model, xv, yv, criterion)
        print(
            f"epoch {epoch:2d}  focal {total.item() / steps:.4f}  val focal {val_loss:.4f}  balanced acc {bal_acc:.3f}"
        )


if __name__ == "__main__":
    main()
