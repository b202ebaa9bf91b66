import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class TwoHeads(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.classifier = nn.Linear(32, n_classes)
        self.amount = nn.Linear(32, 1)

    def forward(self, x):
        h = self.body(x)
        return self.classifier(h), self.amount(h).squeeze(1)


def customers(n):
    x = torch.randn(n, 10)
    segment = torch.stack([x[:, 0] + x[:, 1], x[:, 2] - x[:, 3], x[:, 4] * 1.4], dim=1)
    segment = (segment + 0.3 * torch.randn(n, 3)).argmax(dim=1)
    amount = 0.7 * x[:, 5] + 0.7 * x[:, 6].abs() - 0.56 + 0.2 * torch.randn(n)
    return x, segment, amount


class Trainer:
    def __init__(self, model, lr):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def losses(self, x, segment, amount):
        logits, guess = self.model(x)
        return {"segment": F.cross_entropy(logits, segment), "amount": F.mse_loss(guess, amount)}, logits

    def step(self, batch):
        parts, _ = self.losses(*batch)
        total = parts["amount"] + parts["segment"]
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return total.item()

    def validate(self, x, segment, amount):
        self.model.eval()
        with torch.no_grad():
            parts, logits = self.losses(x, segment, amount)
        self.model.train()
        hits = (logits.argmax(dim=1) == segment).float().mean().item()
        return parts["segment"].item(), parts["amount"].item(), hits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data, val = customers(2000), customers(500)
    trainer = Trainer(TwoHeads(10, 3), lr=2e-3)
    for epoch in range(args.epochs):
        losses = [trainer.step([t[rows] for t in data]) for rows in torch.randperm(2000).split(40)]
        ce, mse, acc = trainer.validate(*val)
        print(f"{epoch:2d} | total {sum(losses) / len(losses):.3f} | val ce {ce:.3f} mse {mse:.3f} acc {acc:.3f}")


if __name__ == "__main__":
    main()
