"""A tabular network of three gated blocks for a made-up credit data set."""

import argparse

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class GatedBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.value = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.norm(x)
        return x + self.value(z) * torch.sigmoid(self.gate(z))


class CreditNet(nn.Module):
    def __init__(self, n_features: int, dim: int = 32) -> None:
        super().__init__()
        self.inp = nn.Linear(n_features, dim)
        self.block1 = GatedBlock(dim)
        self.block2 = GatedBlock(dim)
        self.block3 = GatedBlock(dim)
        self.out = nn.Linear(dim, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inp(x)
        x = self.block1(x)
        x = self.block2(x)
        x = self.block3(x)
        return self.out(x)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, default=10)
    parser.add_argument("--patience", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    X, y = make_classification(3000, 16, n_informative=8, n_clusters_per_class=2, class_sep=1.2, random_state=args.seed)
    X = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    train, val = random_split(TensorDataset(X, torch.tensor(y)), [2400, 600])
    train_loader = DataLoader(train, batch_size=64, shuffle=True)
    val_loader = DataLoader(val, batch_size=300)
    net = CreditNet(16)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    criterion = nn.CrossEntropyLoss()
    best, bad = float("inf"), 0
    for epoch in range(args.max_epochs):
        net.train()
        for xb, yb in train_loader:
            opt.zero_grad()
            criterion(net(xb), yb).backward()
            opt.step()
        net.eval()
        val_loss, truth, guess = 0.0, [], []
        with torch.no_grad():
            for xb, yb in val_loader:
                logits = net(xb)
                val_loss += criterion(logits, yb).item() * len(yb) / len(val)
                truth += yb.tolist()
                guess += logits.argmax(1).tolist()
        print(f"epoch {epoch}: val loss {val_loss:.4f}, F1 {f1_score(truth, guess):.4f}")
        if val_loss < best:
            best, bad = val_loss, 0
        else:
            bad += 1
            if bad >= args.patience:
                print("no better for a while, stopping")
                break


if __name__ == "__main__":
    main()
