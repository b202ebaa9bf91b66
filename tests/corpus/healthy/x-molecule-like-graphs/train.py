import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader

MAX_NODES, KINDS = 12, 4


def random_graph():
    """A tree of 6 to 12 atoms; with a triangle closed somewhere the label is 1."""
    n = int(torch.randint(6, MAX_NODES + 1, (1,)))
    a = torch.zeros(MAX_NODES, MAX_NODES)
    for i in range(1, n):
        j = int(torch.randint(0, i, (1,)))
        a[i, j] = a[j, i] = 1
    label = int(torch.rand(1) < 0.5)
    if label:
        for _ in range(2):
            two_steps = torch.triu(((a @ a) > 0) & (a == 0), diagonal=1).nonzero()
            i, j = two_steps[int(torch.randint(0, len(two_steps), (1,)))]
            a[i, j] = a[j, i] = 1
    else:
        loose = torch.triu((a[:n, :n] == 0) & ((a @ a)[:n, :n] == 0), diagonal=1).nonzero()
        for k in torch.randperm(len(loose))[:1]:
            i, j = loose[k]
            a[i, j] = a[j, i] = 1
    atoms = F.one_hot(torch.randint(0, KINDS, (MAX_NODES,)), KINDS).float()
    mask = (torch.arange(MAX_NODES) < n).float()
    return a, atoms * mask[:, None], mask, label


def collate(items):
    a, x, mask, y = zip(*items)
    return torch.stack(a), torch.stack(x), torch.stack(mask), torch.tensor(y)


class Layer(nn.Module):
    def __init__(self, d_in, d):
        super().__init__()
        self.own, self.near, self.far = nn.Linear(d_in, d), nn.Linear(d_in, d), nn.Linear(1, d)
        self.norm = nn.LayerNorm(d)

    def forward(self, a, x, closed, mask):
        h = self.own(x) + self.near(a @ x) + self.far(closed)
        return F.relu(self.norm(h)) * mask[..., None]


class GraphNet(nn.Module):
    def __init__(self, d=24):
        super().__init__()
        self.l1, self.l2 = Layer(KINDS, d), Layer(d, d)
        self.readout = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 2))

    def forward(self, a, x, mask):
        closed = torch.diagonal(a @ a @ a, dim1=1, dim2=2).unsqueeze(-1) / 2
        h = self.l2(a, self.l1(a, x, closed, mask), closed, mask)
        return self.readout(h.sum(dim=1) / mask.sum(dim=1, keepdim=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    graphs = [random_graph() for _ in range(1250)]
    train = DataLoader(graphs[:1000], batch_size=25, shuffle=True, collate_fn=collate)
    test = DataLoader(graphs[1000:], batch_size=125, collate_fn=collate)
    net = GraphNet()
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    for epoch in range(args.epochs):
        net.train()
        total = 0.0
        for a, x, mask, y in train:
            loss = F.cross_entropy(net(a, x, mask), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            good = sum((net(a, x, mask).argmax(1) == y).sum().item() for a, x, mask, y in test)
        print(f"Epoch {epoch:02d}: loss {total / len(train):.4f}, test accuracy {good / 250:.3f}")
