import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, Subset


class DigitFacts(Dataset):
    """A picture, its digit, whether it has a closed loop, and how much ink it took."""

    def __init__(self):
        d = load_digits()
        self.images = torch.tensor(d.images / 16, dtype=torch.float32).unsqueeze(1)
        self.digit = torch.tensor(d.target)
        self.loop = torch.tensor([float(t in (0, 6, 8, 9)) for t in d.target])
        ink = self.images.mean((1, 2, 3))
        self.ink = (ink - ink.mean()) / ink.std()

    def __len__(self):
        return len(self.digit)

    def __getitem__(self, i):
        return self.images[i], {"digit": self.digit[i], "loop": self.loop[i], "ink": self.ink[i]}


class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ELU(),
            nn.Conv2d(16, 16, 3, padding=1, stride=2),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(256, 48),
            nn.ELU(),
        )
        self.heads = nn.ModuleDict({"digit": nn.Linear(48, 10), "loop": nn.Linear(48, 1), "ink": nn.Linear(48, 1)})

    def forward(self, x):
        h = self.trunk(x)
        return {name: head(h) for name, head in self.heads.items()}


WEIGHTS = {"digit": 1.0, "loop": 0.5, "ink": 0.5}


def losses(out, target):
    return {
        "digit": F.cross_entropy(out["digit"], target["digit"]),
        "loop": F.binary_cross_entropy_with_logits(out["loop"].squeeze(1), target["loop"]),
        "ink": F.mse_loss(out["ink"].squeeze(1), target["ink"]),
    }


def run(args):
    torch.manual_seed(args.seed)
    data = DigitFacts()
    order = torch.randperm(len(data)).tolist()
    train_dl = DataLoader(Subset(data, order[:1400]), batch_size=40, shuffle=True)
    val_dl = DataLoader(Subset(data, order[1400:]), batch_size=len(order) - 1400)
    model = MultiHead()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, args.epochs + 1):
        model.train()
        sums = dict.fromkeys(WEIGHTS, 0.0)
        for x, target in train_dl:
            parts = losses(model(x), target)
            total = sum(WEIGHTS[k] * v for k, v in parts.items())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            for k, v in parts.items():
                sums[k] += v.item()
        model.eval()
        with torch.no_grad():
            x, target = next(iter(val_dl))
            out = model(x)
            val = losses(out, target)
            acc = (out["digit"].argmax(1) == target["digit"]).float().mean()
        text = "  ".join(f"{k} {sums[k] / len(train_dl):.3f}/{val[k]:.3f}" for k in WEIGHTS)
        print(f"epoch {epoch:2d}  {text}  digit acc {acc:.3f}")


if __name__ == "__main__":
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--epochs", type=int, default=10)
    run(cli.parse_args())
