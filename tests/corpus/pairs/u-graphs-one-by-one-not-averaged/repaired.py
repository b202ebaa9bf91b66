import argparse
import random

import torch
from torch import nn


def ring(n):
    return [(i, (i + 1) % n) for i in range(n)]


def tree(n):
    return [(i, random.randrange(i)) for i in range(1, n)]


def clique_with_tail(n):
    k = n // 2
    return [(i, j) for i in range(k) for j in range(i)] + [(i, i - 1) for i in range(k, n)]


def make_graph():
    label = random.randrange(3)
    n = random.randint(6, 14)
    edges = (ring, tree, clique_with_tail)[label](n)
    for _ in range(random.randint(0, 1)):
        edges.append(tuple(random.sample(range(n), 2)))
    adj = torch.zeros(n, n)
    for a, b in edges:
        adj[a, b] = adj[b, a] = 1.0
    deg = adj.sum(1)
    feats = torch.stack([deg / 4 - 0.7, (deg == 1).float(), torch.randn(n)], dim=1)
    adj = adj + torch.eye(n)
    return feats, adj / adj.sum(1, keepdim=True), label


class GraphNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.l1 = nn.Linear(3, hidden)
        self.l2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 3)

    def forward(self, feats, adj):
        h = torch.relu(self.l1(adj @ feats))
        h = torch.relu(self.l2(adj @ h))
        return self.out(h.mean(0))


def score(model, graphs, loss_fn):
    model.eval()
    hits, loss = 0, 0.0
    with torch.no_grad():
        for f, a, y in graphs:
            out = model(f, a)
            loss += loss_fn(out[None], torch.tensor([y])).item()
            hits += int(out.argmax()) == y
    return loss / len(graphs), hits / len(graphs)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--group", type=int, default=16, help="graphs per update")
    p.add_argument("--lr", type=float, default=0.05)
    args = p.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    train = [make_graph() for _ in range(480)]
    val = [make_graph() for _ in range(150)]
    model = GraphNet()
    opt = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()

    for epoch in range(1, args.epochs + 1):
        model.train()
        random.shuffle(train)
        running = 0.0
        opt.zero_grad()
        for k, (f, a, y) in enumerate(train, 1):
            loss = loss_fn(model(f, a)[None], torch.tensor([y]))
            (loss / args.group).backward()
            running += loss.item()
            if k % args.group == 0:
                opt.step()
                opt.zero_grad()
        vl, va = score(model, val, loss_fn)
        print(f"epoch {epoch:2d}  train {running / len(train):.4f}  val {vl:.4f}  val acc {va:.3f}")


if __name__ == "__main__":
    main()
