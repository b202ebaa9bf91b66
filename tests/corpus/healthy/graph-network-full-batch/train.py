import argparse

import torch
import torch.nn.functional as F
from torch import nn


def community_graph(n, n_classes, generator):
    """A stochastic block model with noisy features; returns a normalised adjacency matrix."""
    label = torch.randint(0, n_classes, (n,), generator=generator)
    same = label[:, None] == label[None, :]
    probability = torch.where(same, 0.05, 0.004)
    upper = torch.triu((torch.rand(n, n, generator=generator) < probability).float(), diagonal=1)
    adjacency = upper + upper.T + torch.eye(n)
    degree = adjacency.sum(1)
    normalised = adjacency / (degree[:, None] * degree[None, :]).sqrt()
    centres = torch.randn(n_classes, 16, generator=generator)
    features = 0.5 * centres[label] + torch.randn(n, 16, generator=generator)
    return normalised, features, label


class GCN(nn.Module):
    def __init__(self, n_in, n_classes, hidden=24, dropout=0.5):
        super().__init__()
        self.lin1 = nn.Linear(n_in, hidden)
        self.lin2 = nn.Linear(hidden, n_classes)
        self.dropout = dropout

    def forward(self, adjacency, x):
        x = F.dropout(x, self.dropout, self.training)
        x = F.relu(adjacency @ self.lin1(x))
        x = F.dropout(x, self.dropout, self.training)
        return adjacency @ self.lin2(x)


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=200)
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--weight-decay", type=float, default=5e-4)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed)

n_classes = 4
adjacency, features, label = community_graph(600, n_classes, generator)
order = torch.randperm(600, generator=generator)
train_rows = torch.cat([order[label[order] == k][:10] for k in range(n_classes)])
rest = order[~torch.isin(order, train_rows)]
val_rows, test_rows = rest[:200], rest[200:]

model = GCN(16, n_classes)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
for epoch in range(1, args.epochs + 1):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(adjacency, features)[train_rows], label[train_rows])
    loss.backward()
    optimizer.step()
    if epoch % 20 == 0:
        model.eval()
        with torch.no_grad():
            logits = model(adjacency, features)
        val_loss = F.cross_entropy(logits[val_rows], label[val_rows])
        accuracy = (logits[test_rows].argmax(1) == label[test_rows]).float().mean()
        print(f"epoch {epoch:3d}: train {loss.item():.4f}, val {val_loss:.4f}, test accuracy {accuracy:.3f}")
