import argparse

import torch
import torch.nn as nn


class ItemTower(nn.Module):
    def __init__(self, n_features, dim):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n_features, 48), nn.ReLU(), nn.Linear(48, dim))

    def forward(self, f):
        return self.net(f)


class TwoTower(nn.Module):
    def __init__(self, n_users, n_features, dim=6):
        super().__init__()
        self.user = nn.Embedding(n_users, dim)
        nn.init.normal_(self.user.weight, std=0.3)
        self.user_bias = nn.Embedding(n_users, 1)
        nn.init.zeros_(self.user_bias.weight)
        self.items = ItemTower(n_features, dim)

    def score(self, u, item_vec):
        return (self.user(u) * item_vec).sum(-1) + self.user_bias(u).squeeze(-1)


def make_ratings(n_users=120, n_items=300, n_features=16, per_user=60, seed=0):
    g = torch.Generator().manual_seed(seed)
    feats = torch.randn(n_items, n_features, generator=g)
    quality = torch.stack([torch.sin(2 * feats[:, 0]), feats[:, 1] * feats[:, 2], feats[:, 3].abs() - 0.8], dim=1)
    taste = torch.randn(n_users, 3, generator=g)
    u = torch.arange(n_users).repeat_interleave(per_user)
    i = torch.cat([torch.randperm(n_items, generator=g)[:per_user] for _ in range(n_users)])
    r = (taste[u] * quality[i]).sum(1) + 0.2 * torch.randn(len(u), generator=g)
    return feats, u, i, r / r.std()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=25)
parser.add_argument("--batch", type=int, default=128)
parser.add_argument("--lr", type=float, default=5e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

feats, users, items, ratings = make_ratings(seed=args.seed)
order = torch.randperm(len(users))
tr, va = order[:5800], order[5800:]
model = TwoTower(int(users.max()) + 1, feats.shape[1])
opt = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-5)
mse = nn.MSELoss()

for ep in range(args.epochs):
    model.train()
    losses = []
    for idx in tr[torch.randperm(len(tr))].split(args.batch):
        vecs = model.items(feats)
        pred = model.score(users[idx], vecs[items[idx]])
        loss = mse(pred, ratings[idx])
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        vecs = model.items(feats)
        val = mse(model.score(users[va], vecs[items[va]]), ratings[va]).item()
    print(f"ep {ep:2d}  train mse {sum(losses) / len(losses):.4f}  val mse {val:.4f}")
print("variance of the held-out ratings %.4f" % ratings[va].var().item())
