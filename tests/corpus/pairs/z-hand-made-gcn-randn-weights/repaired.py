import argparse

import torch
import torch.nn.functional as F
from torch import nn


def community_graph(n, k, p_in, p_out, n_feat):
    y = torch.arange(n) % k
    same = y[:, None] == y[None, :]
    prob = torch.where(same, torch.tensor(p_in), torch.tensor(p_out))
    upper = torch.triu(torch.rand(n, n) < prob, diagonal=1).float()
    adj = upper + upper.T + torch.eye(n)
    d = adj.sum(1).rsqrt()
    centres = torch.randn(k, n_feat)
    x = 0.6 * centres[y] + 1.2 * torch.randn(n, n_feat)
    x = (x - x.mean(0)) / x.std(0)
    return x, d[:, None] * adj * d[None, :], y


class GraphConv(nn.Module):
    """H' = A H W + b"""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, a, h):
        return a @ (h @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self, n_in, hidden, n_out):
        super().__init__()
        self.conv1 = GraphConv(n_in, hidden)
        self.conv2 = GraphConv(hidden, hidden)
        self.conv3 = GraphConv(hidden, n_out)

    def forward(self, a, x):
        h = F.relu(self.conv1(a, x))
        h = F.relu(self.conv2(a, h))
        return self.conv3(a, h)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--hidden", type=int, default=128)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, a, y = community_graph(500, 5, 0.05, 0.012, 32)
perm = torch.randperm(len(y))
train_idx, val_idx = perm[:300], perm[300:]

model = GCN(32, args.hidden, 5)
optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=5e-4)

for epoch in range(1, args.epochs + 1):
    model.train()
    optimizer.zero_grad()
    out = model(a, x)
    loss = F.cross_entropy(out[train_idx], y[train_idx])
    loss.backward()
    optimizer.step()
    if epoch % 5 == 0 or epoch == 1:
        model.eval()
        with torch.no_grad():
            out = model(a, x)
            val_loss = F.cross_entropy(out[val_idx], y[val_idx]).item()
            hit = out.argmax(1) == y
        print(
            f"Epoch {epoch:03d} loss {loss.item():.4f} val_loss {val_loss:.4f} "
            f"train_acc {hit[train_idx].float().mean().item():.3f} val_acc {hit[val_idx].float().mean().item():.3f}"
        )
