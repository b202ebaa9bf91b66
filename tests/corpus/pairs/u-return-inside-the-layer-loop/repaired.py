import argparse
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Settings:
    seed: int = 0
    nodes: int = 300
    graphs: int = 30
    hidden: int = 32
    layers: int = 4
    epochs: int = 15
    lr: float = 0.005


def community_graph(n, groups, gen):
    """Stochastic block model; only one node in six shows its group."""
    group = torch.randint(0, groups, (n,), generator=gen)
    same = group[:, None] == group[None, :]
    prob = torch.where(same, 9.0 * groups / n / 2, 1.0 / n)
    a = (torch.rand(n, n, generator=gen) < prob).float().triu(1)
    a = a + a.T
    feats = torch.randn(n, groups, generator=gen) * 0.3
    shown = torch.rand(n, generator=gen) < 1 / 6
    feats[shown] += 2.5 * nn.functional.one_hot(group[shown], groups)
    return feats, a, group


class Propagate(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.own = nn.Linear(d_in, d_out)
        self.neigh = nn.Linear(d_in, d_out, bias=False)

    def forward(self, h, a_norm):
        return torch.relu(self.own(h) + self.neigh(a_norm @ h))


class MPNN(nn.Module):
    def __init__(self, d_in, hidden, n_layers, n_out):
        super().__init__()
        dims = [d_in] + [hidden] * n_layers
        self.layers = nn.ModuleList(Propagate(a, b) for a, b in zip(dims, dims[1:]))
        self.readout = nn.Linear(hidden, n_out)

    def encode(self, h, a_norm):
        for layer in self.layers:
            h = layer(h, a_norm)
        return h

    def forward(self, x, a_norm):
        return self.readout(self.encode(x, a_norm))


def accuracy(logits, y):
    return (logits.argmax(1) == y).float().mean().item()


def graphs(count, s, gen):
    out = []
    for _ in range(count):
        x, a, y = community_graph(s.nodes, 5, gen)
        out.append((x, a / a.sum(1, keepdim=True).clamp(min=1), y))
    return out


def main(s):
    torch.manual_seed(s.seed)
    gen = torch.Generator().manual_seed(s.seed)
    train, val = graphs(s.graphs, s, gen), graphs(5, s, gen)
    net = MPNN(5, s.hidden, s.layers, 5)
    opt = torch.optim.Adam(net.parameters(), lr=s.lr)
    for epoch in range(1, s.epochs + 1):
        net.train()
        total = 0.0
        for i in torch.randperm(len(train)).tolist():
            x, a, y = train[i]
            loss = nn.functional.cross_entropy(net(x, a), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item()
        net.eval()
        with torch.no_grad():
            outs = [(net(x, a), y) for x, a, y in val]
        val_loss = sum(nn.functional.cross_entropy(o, y).item() for o, y in outs) / len(val)
        val_acc = sum(accuracy(o, y) for o, y in outs) / len(val)
        print(f"epoch {epoch:2d}: train {total / len(train):.4f}; unseen graphs: loss {val_loss:.4f} acc {val_acc:.3f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--layers", type=int, default=4)
    a = ap.parse_args()
    main(Settings(seed=a.seed, layers=a.layers))
