import argparse

import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset


class Regressor(nn.Module):
    def __init__(self, n_features, hidden=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(n_features, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
        )

    def forward(self, x):
        return self.body(x).squeeze(-1)


def fit_epoch(model, loader, optimizer, loss_fn):
    model.train()
    seen = 0
    total = 0.0
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
        seen += len(y)
    return total / seen


@torch.inference_mode()
def test_epoch(model, loader):
    model.eval()
    pairs = [(model(x), y) for x, y in loader]
    out, y = torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs])
    mse = nn.functional.mse_loss(out, y)
    return mse.item(), (1 - mse / y.var(correction=0)).item()


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)

    x, y = make_friedman1(n_samples=2000, n_features=10, noise=0.5, random_state=args.seed)
    x = torch.tensor(x * 2 - 1, dtype=torch.float32)
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
    dataset = TensorDataset(x, y)
    n = len(dataset)
    train_set = Subset(dataset, range(0, int(0.8 * n)))
    val_set = Subset(dataset, range(int(0.8 * n), n))

    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=128)
    model = Regressor(x.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs, eta_min=1e-5)
    for epoch in range(1, args.epochs + 1):
        train_mse = fit_epoch(model, train_loader, optimizer, nn.MSELoss())
        scheduler.step()
        val_mse, r2 = test_epoch(model, val_loader)
        print(f"epoch {epoch:2d}: train mse {train_mse:.4f}, val mse {val_mse:.4f}, r2 {r2:.3f}")


if __name__ == "__main__":
    main()
