import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

N_USERS, N_ITEMS, RANK = 300, 200, 4


def ratings(n, generator):
    """Ratings from a low-rank taste model, with noise, around 3.5 stars."""
    taste = torch.randn(N_USERS, RANK, generator=generator) * 0.5
    style = torch.randn(N_ITEMS, RANK, generator=generator) * 0.5
    liking = torch.randn(N_ITEMS, generator=generator) * 0.6
    users = torch.randint(0, N_USERS, (n,), generator=generator)
    items = torch.randint(0, N_ITEMS, (n,), generator=generator)
    stars = 3.5 + liking[items] + (taste[users] * style[items]).sum(1) + 0.3 * torch.randn(n, generator=generator)
    return TensorDataset(users, items, stars)


class Factorisation(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.user = nn.Embedding(N_USERS, dim, sparse=True)
        self.item = nn.Embedding(N_ITEMS, dim, sparse=True)
        self.item_bias = nn.Embedding(N_ITEMS, 1, sparse=True)
        self.mean = nn.Parameter(torch.tensor(3.0))
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.item.weight, std=0.1)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, users, items):
        match = (self.user(users) * self.item(items)).sum(dim=1)
        return self.mean + self.item_bias(items).squeeze(1) + match


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    data = ratings(16000, torch.Generator().manual_seed(args.seed))
    train_set, val_set = random_split(data, [0.9, 0.1])
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=400)
    model = Factorisation()
    tables = [model.user.weight, model.item.weight, model.item_bias.weight]
    sparse = torch.optim.SparseAdam(tables, lr=args.lr)
    dense = torch.optim.Adam([model.mean], lr=args.lr)
    mse = nn.MSELoss()
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_mse = 0.0
        for users, items, stars in train_loader:
            sparse.zero_grad()
            dense.zero_grad()
            loss = mse(model(users, items), stars)
            loss.backward()
            sparse.step()
            dense.step()
            train_mse += loss.item() / len(train_loader)
        model.eval()
        with torch.no_grad():
            val_mse = sum(mse(model(u, i), s).item() for u, i, s in val_loader) / len(val_loader)
        print(f"epoch {epoch}: train rmse {train_mse**0.5:.4f}, val rmse {val_mse**0.5:.4f}")


if __name__ == "__main__":
    main()
