import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class PatchTransformer(nn.Module):
    """Reads an 8x8 digit as eight rows of eight pixels."""

    def __init__(self, dim=32):
        super().__init__()
        self.project = nn.Linear(8, dim)
        self.position = nn.Parameter(torch.zeros(1, 8, dim).normal_(std=0.02))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim * 8, 10)

    def forward(self, x):
        return self.head(self.norm(self.encoder(self.project(x) + self.position)).flatten(1))


def train_epoch(model, loader, optimizer, scheduler, accumulate):
    model.train()
    optimizer.zero_grad()
    total = 0.0
    for i, (x, y) in enumerate(loader, start=1):
        loss = F.cross_entropy(model(x), y)
        (loss / accumulate).backward()
        total += loss.item()
        if i % accumulate == 0 or i == len(loader):
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    return total / len(loader)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    out = [(model(x), y) for x, y in loader]
    logits, y = torch.cat([o[0] for o in out]), torch.cat([o[1] for o in out])
    return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=4)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    images = (torch.tensor(digits.images, dtype=torch.float32) - 4.9) / 6.0
    train_set, val_set = random_split(TensorDataset(images, torch.tensor(digits.target)), [1437, 360])
    train_loader = DataLoader(train_set, batch_size=args.micro_batch, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=120)
    model = PatchTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    steps = args.epochs * -(-len(train_loader) // args.accumulate)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.2)
    for epoch in range(1, args.epochs + 1):
        train_loss = train_epoch(model, train_loader, optimizer, scheduler, args.accumulate)
        val_loss, val_acc = evaluate(model, val_loader)
        print(f"epoch {epoch}: train {train_loss:.4f} val {val_loss:.4f} acc {val_acc:.4f}")


if __name__ == "__main__":
    main()
