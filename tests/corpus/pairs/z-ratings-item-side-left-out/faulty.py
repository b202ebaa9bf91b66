# Matrix factorisation with biases on a small ratings table
import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--factors", type=int, default=6)
ap.add_argument("--epochs", type=int, default=15)
ap.add_argument("--lr", type=float, default=0.01)
args = ap.parse_args()
torch.manual_seed(args.seed)

N_USERS, N_ITEMS, N_RATINGS = 150, 120, 9000


def synthetic_ratings():
    p = torch.randn(N_USERS, 3)
    q = torch.randn(N_ITEMS, 3)
    bu, bi = 0.3 * torch.randn(N_USERS), 0.5 * torch.randn(N_ITEMS)
    cells = torch.randperm(N_USERS * N_ITEMS)[:N_RATINGS]
    u, i = cells // N_ITEMS, cells % N_ITEMS
    r = 3.2 + bu[u] + bi[i] + 0.5 * (p[u] * q[i]).sum(1) + 0.2 * torch.randn(N_RATINGS)
    return TensorDataset(u, i, r.clamp(0.5, 6.0))


class MF(nn.Module):
    def __init__(self, k, mean):
        super().__init__()
        self.user = nn.Embedding(N_USERS, k)
        self.item = nn.Embedding(N_ITEMS, k)
        self.user_bias = nn.Embedding(N_USERS, 1)
        self.item_bias = nn.Embedding(N_ITEMS, 1)
        self.mean = mean
        for emb in (self.user, self.item):
            nn.init.normal_(emb.weight, std=0.1)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, u, i):
        dot = (self.user(u) * self.item(i)).sum(1)
        return self.mean + dot + self.user_bias(u).squeeze(1) + self.item_bias(i).squeeze(1)


data = synthetic_ratings()
train_set, test_set = random_split(data, [7500, 1500])
train_mean = data.tensors[2][train_set.indices].mean().item()
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
test_loader = DataLoader(test_set, batch_size=500)

model = MF(args.factors, train_mean)
params = list(model.user.parameters()) + list(model.user_bias.parameters())
opt = torch.optim.Adam(params, lr=args.lr)
mse = nn.MSELoss()

for epoch in range(args.epochs):
    model.train()
    sq = 0.0
    for u, i, r in train_loader:
        reg = model.user(u).pow(2).mean() + model.item(i).pow(2).mean()
        loss = mse(model(u, i), r)
        opt.zero_grad()
        (loss + 0.02 * reg).backward()
        opt.step()
        sq += loss.item() * len(r)
    model.eval()
    with torch.no_grad():
        test_sq = sum(((model(u, i) - r) ** 2).sum().item() for u, i, r in test_loader)
    print(f"epoch {epoch + 1:2d}  train rmse {math.sqrt(sq / 7500):.3f}  test rmse {math.sqrt(test_sq / 1500):.3f}")
