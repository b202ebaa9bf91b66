import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def simulate(n, seed, features=10, flip=0.15):
    """Readings of a machine and whether it was reported faulty (reports are wrong at times)."""
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(n, features, generator=gen)
    score = x[:, 0] + x[:, 1] * x[:, 2] - 0.8 * x[:, 3]
    y = (score > 0).float()
    wrong = torch.rand(n, generator=gen) < flip
    return x, torch.where(wrong, 1 - y, y)


class FaultDetector(nn.Module):
    def __init__(self, features, width=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.net(x).flatten()


def train_epoch(model, loader, criterion, optimizer):
    model.train()
    loss_sum = hits = 0
    for x, y in loader:
        out = model(x)
        loss = criterion(out, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(y)
        hits += ((out > 0).float() == y).sum().item()
    return loss_sum / len(loader.dataset), hits / len(loader.dataset)


@torch.no_grad()
def validate(model, loader, criterion):
    model.eval()
    loss_sum = hits = 0
    for x, y in loader:
        out = model(x)
        loss_sum += criterion(out, y).item() * len(y)
        hits += ((out > 0).float() == y).sum().item()
    return loss_sum / len(loader.dataset), hits / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, default=40)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train_set = TensorDataset(*simulate(2000, seed=args.seed))
    val_set = TensorDataset(*simulate(2000, seed=args.seed))
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=500)

    model = FaultDetector(10)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    best, best_state, waited = float("inf"), None, 0
    for epoch in range(args.max_epochs):
        tl, ta = train_epoch(model, train_loader, criterion, optimizer)
        vl, va = validate(model, val_loader, criterion)
        print(f"{epoch + 1:02d}  train {tl:.4f} ({ta:.3f})   val {vl:.4f} ({va:.3f})")
        if vl < best:
            best, waited = vl, 0
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
        else:
            waited += 1
            if waited == args.patience:
                break
    model.load_state_dict(best_state)
    vl, va = validate(model, val_loader, criterion)
    print(f"final: val loss {vl:.4f}, val accuracy {va:.3f}")


if __name__ == "__main__":
    main()
