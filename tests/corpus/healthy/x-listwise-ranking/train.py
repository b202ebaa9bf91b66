import argparse

import torch
from torch import nn, optim


def queries(n, docs, features, taste):
    x = torch.randn(n, docs, features)
    hidden = x @ taste[0] + 0.7 * (x @ taste[1]).clamp(min=0) + 0.3 * torch.randn(n, docs)
    rank = hidden.argsort(dim=1, descending=True).argsort(dim=1)
    grade = (rank < 1).float() * 3 + ((rank >= 1) & (rank < 3)).float() * 2 + ((rank >= 3) & (rank < 6)).float()
    return x, grade


def listnet(scores, grade):
    target = torch.softmax(grade, dim=1)
    return -(target * torch.log_softmax(scores, dim=1)).sum(dim=1).mean()


def ndcg(scores, grade, k=5):
    discount = 1 / torch.log2(torch.arange(k) + 2.0)
    order = scores.argsort(dim=1, descending=True)[:, :k]
    gain = (2 ** grade.gather(1, order) - 1) @ discount
    best = (2 ** grade.sort(dim=1, descending=True).values[:, :k] - 1) @ discount
    return (gain / best).mean().item()


class Scorer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(features, 48), nn.ELU(), nn.Linear(48, 1))

    def forward(self, x):
        return self.f(x).squeeze(-1)


def main(seed: int, epochs: int) -> None:
    torch.manual_seed(seed)
    taste = torch.randn(2, 15) / 15**0.5
    x, grade = queries(1000, 12, 15, taste)
    x_val, grade_val = queries(250, 12, 15, taste)
    model = Scorer(15)
    optimizer = optim.Adagrad(model.parameters(), lr=0.05)

    for epoch in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(20):
            optimizer.zero_grad()
            loss = listnet(model(x[rows]), grade[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        model.eval()
        with torch.no_grad():
            scores = model(x_val)
            val = listnet(scores, grade_val).item()
        print(f"epoch {epoch + 1}: listnet {total / len(x):.4f} / {val:.4f}, ndcg@5 {ndcg(scores, grade_val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=12)
    main(**vars(parser.parse_args()))
