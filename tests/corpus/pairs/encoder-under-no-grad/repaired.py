import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class GCNLayer(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.lin = nn.Linear(fan_in, fan_out)

    def forward(self, adj, x):
        return adj @ self.lin(x)


class GraphNet(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.gc1 = GCNLayer(features, hidden)
        self.gc2 = GCNLayer(hidden, hidden)
        self.readout = nn.Linear(hidden, classes)

    def encode(self, adj, x):
        h = F.relu(self.gc1(adj, x))
        h = F.dropout(h, 0.2, self.training)
        return F.relu(self.gc2(adj, h))

    def forward(self, adj, x):
        h = self.encode(adj, x)
        return self.readout(h.mean(dim=1))


def random_graphs(count, nodes=14):
    """Label 0: two communities, 1: a ring with chords, 2: a hub with many leaves; degree features plus noise."""
    labels = torch.randint(0, 3, (count,))
    adj = torch.zeros(count, nodes, nodes)
    for g, label in enumerate(labels.tolist()):
        if label == 0:
            side = torch.arange(nodes) % 2
            prob = torch.where(side[:, None] == side[None, :], 0.55, 0.05)
            adj[g] = (torch.rand(nodes, nodes) < prob).float()
        elif label == 1:
            ring = torch.arange(nodes)
            adj[g, ring, (ring + 1) % nodes] = 1.0
            adj[g, torch.randint(0, nodes, (9,)), torch.randint(0, nodes, (9,))] = 1.0
        else:
            adj[g, torch.randint(0, nodes, (1,)).item()] = (torch.rand(nodes) < 0.85).float()
            adj[g] += (torch.rand(nodes, nodes) < 0.05).float()
        adj[g] = ((adj[g] + adj[g].T) > 0).float()
    degree = adj.sum(-1, keepdim=True)
    features = torch.cat([degree / 4 - 1, degree**2 / 20 - 1, torch.randn(count, nodes, 4)], dim=-1)
    adj = adj + torch.eye(nodes)
    scale = adj.sum(-1).rsqrt()
    return adj * scale[:, :, None] * scale[:, None, :], features, labels


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=14)
parser.add_argument("--lr", type=float, default=0.01)
args = parser.parse_args()
torch.manual_seed(args.seed)

adj, feats, labels = random_graphs(1000)
train_idx, test_idx = torch.arange(800), torch.arange(800, 1000)
model = GraphNet(feats.shape[-1], 16, 3)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=5e-4)

for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for idx in train_idx[torch.randperm(800)].split(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(adj[idx], feats[idx]), labels[idx])
        loss.backward()
        optimizer.step()
        total += loss.item()
    model.eval()
    with torch.no_grad():
        acc = (model(adj[test_idx], feats[test_idx]).argmax(1) == labels[test_idx]).float().mean()
    print(f"Epoch: {epoch:03d}, Loss: {total / 20:.4f}, Test: {acc:.4f}")
