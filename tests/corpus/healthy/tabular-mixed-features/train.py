"""Income bracket from numeric and categorical columns: entity embeddings and an MLP."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CARDINALITIES = (5, 12, 30)


class Census(Dataset):
    """Skewed numeric columns and three categorical ones; the label depends on both, with some noise."""

    def __init__(self, n, effects, stats=None):
        self.cats = torch.stack([torch.randint(0, c, (n,)) for c in CARDINALITIES], dim=1)
        raw = torch.stack([torch.randn(n).exp(), 18 + 60 * torch.rand(n), torch.randn(n) * 3 + 40], dim=1)
        signal = sum(e[self.cats[:, i]] for i, e in enumerate(effects))
        signal = signal + 1.2 * raw[:, 0].log() + 0.05 * (raw[:, 1] - 48) - 0.15 * (raw[:, 2] - 40)
        self.label = (signal + 0.5 * torch.randn(n) > 0).float()
        raw[:, 0] = raw[:, 0].log1p()
        self.stats = stats or (raw.mean(0), raw.std(0))
        self.nums = (raw - self.stats[0]) / self.stats[1]

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        return self.cats[i], self.nums[i], self.label[i]


class EntityNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(c, min(8, (c + 1) // 2)) for c in CARDINALITIES)
        width = sum(e.embedding_dim for e in self.embeddings) + 3
        self.mlp = nn.Sequential(
            nn.Linear(width, 48),
            nn.ReLU(),
            nn.BatchNorm1d(48),
            nn.Dropout(0.1),
            nn.Linear(48, 24),
            nn.ReLU(),
            nn.Linear(24, 1),
        )

    def forward(self, cats, nums):
        parts = [embed(cats[:, i]) for i, embed in enumerate(self.embeddings)]
        return self.mlp(torch.cat([*parts, nums], dim=1)).squeeze(1)


def run(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    total, right, n = 0.0, 0, 0
    with torch.set_grad_enabled(optimizer is not None):
        for cats, nums, label in loader:
            logit = model(cats, nums)
            loss = criterion(logit, label)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(label)
            right += ((logit > 0).float() == label).sum().item()
            n += len(label)
    return total / n, right / n


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    effects = [torch.randn(c) for c in CARDINALITIES]
    train_set = Census(4000, effects)
    val_set = Census(1000, effects, train_set.stats)
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=250)
    model = EntityNet()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
    for epoch in range(args.epochs):
        train_loss, train_acc = run(model, train_loader, criterion, optimizer)
        val_loss, val_acc = run(model, val_loader, criterion)
        print(f"epoch {epoch}: train {train_loss:.4f} {train_acc:.3f} | val {val_loss:.4f} {val_acc:.3f}")
