import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZES = {"brand": 12, "fuel": 4, "region": 25}


class Cars(Dataset):
    """Used cars: brand, fuel and region beside age, mileage and power; the target is the log price, standardised."""

    def __init__(self, n, generator, worth):
        self.categories = torch.stack([torch.randint(0, s, (n,), generator=generator) for s in SIZES.values()], dim=1)
        self.numbers = torch.randn(n, 3, generator=generator)
        age, mileage, power = self.numbers.T
        price = sum(worth[name][self.categories[:, i]] for i, name in enumerate(SIZES))
        price = price - 0.6 * age - 0.3 * mileage * (1 + 0.3 * age) + 0.4 * power
        self.price = (price + 0.15 * torch.randn(n, generator=generator)) / 1.1

    def __len__(self):
        return len(self.price)

    def __getitem__(self, i):
        return {"categories": self.categories[i], "numbers": self.numbers[i], "price": self.price[i]}


class PriceModel(nn.Module):
    def __init__(self, dim=4, hidden=48):
        super().__init__()
        self.embeddings = nn.ModuleDict({name: nn.Embedding(size, dim) for name, size in SIZES.items()})
        self.mlp = nn.Sequential(
            nn.Linear(3 + dim * len(SIZES), hidden), nn.ReLU(), nn.Dropout(0.05), nn.Linear(hidden, 1)
        )

    def forward(self, categories, numbers):
        embedded = [table(categories[:, i]) for i, table in enumerate(self.embeddings.values())]
        return self.mlp(torch.cat([*embedded, numbers], dim=1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    worth = {name: 0.5 * torch.randn(size, generator=generator) for name, size in SIZES.items()}
    train_loader = DataLoader(Cars(2400, generator, worth), batch_size=64, shuffle=True)
    val_loader = DataLoader(Cars(600, generator, worth), batch_size=300)
    model = PriceModel()
    optimizer = torch.optim.Adagrad(
        [
            {"params": model.embeddings.parameters(), "lr": 2 * args.lr},
            {"params": model.mlp.parameters(), "weight_decay": 1e-4},
        ],
        lr=args.lr,
    )
    criterion = nn.HuberLoss()
    for epoch in range(1, args.epochs + 1):
        model.train()
        train_loss = 0.0
        for batch in train_loader:
            loss = criterion(model(batch["categories"], batch["numbers"]), batch["price"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        model.eval()
        with torch.no_grad():
            parts = [(model(b["categories"], b["numbers"]), b["price"]) for b in val_loader]
        guess, price = torch.cat([p for p, _ in parts]), torch.cat([t for _, t in parts])
        r2 = 1 - (guess - price).square().mean() / price.var(correction=0)
        print(f"epoch {epoch}: train {train_loss:.4f} val {criterion(guess, price):.4f} r2 {r2:.3f}")


if __name__ == "__main__":
    main()
