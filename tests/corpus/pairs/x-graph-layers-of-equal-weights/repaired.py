import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


def block_graph(n=240, groups=4, p_in=0.12, p_out=0.02, features=16):
    """A stochastic block model with noisy node features."""
    label = torch.arange(n) % groups
    same = label[:, None] == label[None, :]
    chance = torch.where(same, torch.tensor(p_in), torch.tensor(p_out))
    upper = torch.triu((torch.rand(n, n) < chance).float(), diagonal=1)
    adjacency = upper + upper.T + torch.eye(n)
    degree = adjacency.sum(dim=1)
    adjacency = adjacency / (degree[:, None] * degree[None, :]).sqrt()
    centre = torch.randn(groups, features)
    return adjacency, centre[label] + 1.5 * torch.randn(n, features), label


class GraphConv(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_in, n_out)))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x, adjacency):
        return adjacency @ (x @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self, n_in, hidden, n_out):
        super().__init__()
        self.conv1 = GraphConv(n_in, hidden)
        self.conv2 = GraphConv(hidden, n_out)

    def forward(self, x, adjacency):
        return self.conv2(F.relu(self.conv1(x, adjacency)), adjacency)


def main():
    parser = argparse.ArgumentParser(description="GCN on a block graph")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--hidden", type=int, default=16)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    adjacency, x, label = block_graph()
    order = torch.randperm(len(x))
    train_mask, val_mask = order[:120], order[120:]
    model = GCN(x.shape[1], args.hidden, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

    for epoch in range(1, args.epochs + 1):
        model.train()
        optimizer.zero_grad()
        out = model(x, adjacency)
        loss = F.cross_entropy(out[train_mask], label[train_mask])
        loss.backward()
        optimizer.step()
        if epoch % 10 == 0:
            model.eval()
            with torch.no_grad():
                out = model(x, adjacency)
            val_loss = F.cross_entropy(out[val_mask], label[val_mask])
            val_acc = (out[val_mask].argmax(dim=1) == label[val_mask]).float().mean()
            print(f"Epoch: {epoch:03d}, Loss: {loss:.4f}, Val loss: {val_loss:.4f}, Val acc: {val_acc:.4f}")


if __name__ == "__main__":
    main()
