import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, Dataset


class PairDataset(Dataset):
    """Half of the pairs show the same digit, half of them different ones."""

    def __init__(self, images, labels, n_pairs, seed):
        rng = np.random.default_rng(seed)
        self.images = torch.as_tensor(images, dtype=torch.float32)
        by_class = [np.flatnonzero(labels == c) for c in range(10)]
        self.pairs = []
        for k in range(n_pairs):
            same = k % 2
            a = rng.integers(10)
            b = a if same else (a + rng.integers(1, 10)) % 10
            self.pairs.append((rng.choice(by_class[a]), rng.choice(by_class[b]), same))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        a, b, same = self.pairs[i]
        target = torch.tensor(2.0 * same - 1.0)
        return self.images[a], self.images[b], target


class Encoder(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, 64),
            nn.ReLU(),
            nn.Linear(64, dim),
        )

    def forward(self, x):
        return self.net(x)


@torch.no_grad()
def similarity_report(model, loader):
    model.eval()
    sims, same = [], []
    for a, b, t in loader:
        sims.append(torch.cosine_similarity(model(a), model(b)))
        same.append(t > 0)
    sims, same = torch.cat(sims), torch.cat(same)
    verification = ((sims > 0.6) == same).float().mean().item()
    return sims[same].mean().item(), sims[~same].mean().item(), verification


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--lr", type=float, default=1e-3)
    args = p.parse_args()
    torch.manual_seed(args.seed)

    digits = load_digits()
    images = digits.images[:, None] / 16.0 - 0.3
    xtr, xva, ytr, yva = train_test_split(
        images, digits.target, test_size=0.25, stratify=digits.target, random_state=args.seed
    )
    train_loader = DataLoader(PairDataset(xtr, ytr, 3000, args.seed), batch_size=64, shuffle=True)
    val_loader = DataLoader(PairDataset(xva, yva, 800, args.seed + 1), batch_size=200)

    model = Encoder()
    criterion = nn.CosineEmbeddingLoss(margin=0.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)

    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for a, b, t in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(a), model(b), t)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(t)
        pos, neg, ver = similarity_report(model, val_loader)
        print(
            f"epoch {epoch}: loss {total / 3000:.4f}  cos same {pos:.3f}  "
            f"cos different {neg:.3f}  verification {ver:.3f}"
        )


if __name__ == "__main__":
    main()
