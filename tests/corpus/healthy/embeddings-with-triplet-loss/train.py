import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Embedder(nn.Module):
    def __init__(self, dim=12):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x):
        return F.normalize(self.net(x), dim=1)


def triplets(y, n):
    """Indices of anchors, samples of the same class and samples of another class."""
    anchor = torch.randint(len(y), (n,))
    same = (y[anchor][:, None] == y[None, :]).float()
    positive = torch.multinomial(same, 1).squeeze(1)
    negative = torch.multinomial(1 - same, 1).squeeze(1)
    return anchor, positive, negative


def recall_at_one(model, x, y, x_query, y_query):
    model.eval()
    with torch.no_grad():
        nearest = (model(x_query) @ model(x).T).argmax(1)
    model.train()
    return (y[nearest] == y_query).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=420)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 8 - 0.6, torch.tensor(digits.target)
    order = torch.randperm(len(x))
    x_train, y_train = x[order[:1400]], y[order[:1400]]
    x_test, y_test = x[order[1400:]], y[order[1400:]]
    model = Embedder()
    criterion = nn.TripletMarginLoss(margin=0.4)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    running = 0.0
    for step in range(1, args.steps + 1):
        a, p, n = triplets(y_train, args.batch_size)
        loss = criterion(model(x_train[a]), model(x_train[p]), model(x_train[n]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item()
        if step % 60 == 0:
            recall = recall_at_one(model, x_train, y_train, x_test, y_test)
            print(f"step {step}: triplet loss {running / 60:.4f}, recall@1 {recall:.3f}")
            running = 0.0


if __name__ == "__main__":
    main()
