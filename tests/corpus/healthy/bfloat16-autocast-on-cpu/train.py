import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def waves(n, generator):
    """One-channel 16x16 gratings in one of five orientations."""
    label = torch.randint(0, 5, (n,), generator=generator)
    angle = label * 3.1416 / 5 + 0.12 * torch.randn(n, generator=generator)
    axis = torch.arange(16) - 7.5
    along = axis[None, None, :] * angle.cos()[:, None, None] + axis[None, :, None] * angle.sin()[:, None, None]
    phase = torch.rand(n, 1, 1, generator=generator) * 6.2832
    image = torch.sin(0.9 * along + phase) + 0.5 * torch.randn(n, 16, 16, generator=generator)
    return TensorDataset(image.unsqueeze(1), label)


def block(c_in, c_out):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1), nn.GroupNorm(4, c_out), nn.GELU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(block(1, 16), block(16, 32))
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.blocks(x).mean(dim=(2, 3)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    train_loader = DataLoader(waves(1500, generator), batch_size=50, shuffle=True)
    val_loader = DataLoader(waves(400, generator), batch_size=100)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        train_loss = 0.0
        for x, y in train_loader:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
                loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() / len(train_loader)
        scheduler.step()
        model.eval()
        hits, val_loss = 0, 0.0
        with torch.no_grad(), torch.autocast(device_type="cpu", dtype=torch.bfloat16):
            for x, y in val_loader:
                logits = model(x)
                val_loss += criterion(logits, y).item() / len(val_loader)
                hits += (logits.argmax(1) == y).sum().item()
        print(f"epoch {epoch + 1}: train {train_loss:.4f}, val {val_loss:.4f}, accuracy {hits / 400:.3f}")


if __name__ == "__main__":
    main()
