import argparse

import torch
import torch.nn.functional as F
from fingerprint import leave
from torch import nn
from torch.optim import Adam


class GraphConv(nn.Module):
    def __init__(self, input_dim, output_dim, use_bias=False):
        super().__init__()
        self.kernel = nn.Parameter(torch.Tensor(input_dim, output_dim))
        nn.init.xavier_normal_(self.kernel)
        self.bias = None
        if use_bias:
            self.bias = nn.Parameter(torch.Tensor(output_dim))
            nn.init.zeros_(self.bias)

    def forward(self, input_tensor, adj_mat):
        support = torch.mm(input_tensor, self.kernel)
        output = torch.spmm(adj_mat, support)
        return output + self.bias if self.bias is not None else output


class GCN(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim, dropout_p=0.1):
        super().__init__()
        self.gc1 = GraphConv(input_dim, hidden_dim)
        self.gc2 = GraphConv(hidden_dim, output_dim, use_bias=True)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, input_tensor, adj_mat):
        x = self.dropout(F.relu(self.gc1(input_tensor, adj_mat)))
        return F.log_softmax(self.gc2(x, adj_mat), dim=1)


class GraphAttention(nn.Module):
    def __init__(self, n_in, n_out, heads=2):
        super().__init__()
        self.W = nn.Parameter(torch.randn(n_in, heads * n_out) * 0.1)
        self.a = nn.Parameter(torch.randn(heads, 2 * n_out, 1) * 0.1)
        self.heads, self.n_out, self.leakyrelu = heads, n_out, nn.LeakyReLU(0.2)

    def forward(self, h, adj):
        h = (h @ self.W).view(len(h), self.heads, self.n_out).transpose(0, 1)
        source, target = h @ self.a[:, : self.n_out], h @ self.a[:, self.n_out :]
        e = self.leakyrelu(source + target.transpose(1, 2))
        attention = torch.where(adj > 0, e, -9e16 * torch.ones_like(e)).softmax(-1)
        return F.log_softmax(F.elu(F.dropout(attention, 0.2, self.training) @ h).mean(0), dim=1)


def graph(n=90, classes=3):
    labels = torch.randint(0, classes, (n,))
    same = labels[:, None] == labels[None]
    adj = (torch.rand(n, n) < torch.where(same, 0.15, 0.02)).float()
    adj = ((adj + adj.t() + torch.eye(n)) > 0).float()
    degree = adj.sum(1).pow(-0.5)
    features = F.one_hot(labels, classes).float() + torch.randn(n, classes)
    return features, labels, adj, (degree[:, None] * adj * degree[None]).to_sparse()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--patience", type=int, default=5)
    parser.add_argument("--l2", type=float, default=5e-4)
    args = parser.parse_args()
    torch.manual_seed(13)
    features, labels, adj, normed = graph()
    idx = torch.randperm(len(labels))
    idx_train, idx_val, idx_test = idx[:40], idx[40:60], idx[60:]
    for model, matrix in ((GCN(3, 16, 3), normed), (GraphAttention(3, 3), adj)):
        optimizer = Adam(model.parameters(), lr=0.02, weight_decay=args.l2)
        best, waited = float("inf"), 0
        for epoch in range(args.epochs):
            model.train()
            optimizer.zero_grad()
            output = model(features, matrix)
            loss = F.nll_loss(output[idx_train], labels[idx_train])
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.inference_mode():
                val = F.nll_loss(model(features, matrix)[idx_val], labels[idx_val]).item()
            if epoch % 10 == 0:
                print(f"Epoch {epoch:04d} loss {loss.item()!r} val {val!r}")
            best, waited = (val, 0) if val < best else (best, waited + 1)
            if waited >= args.patience:
                print("early stopping at", epoch)
                break
        model.eval()
        accuracy = (model(features, matrix)[idx_test].argmax(1) == labels[idx_test]).float().mean()
        print("test accuracy", accuracy.item())
        leave(model, optimizer)


if __name__ == "__main__":
    main()
