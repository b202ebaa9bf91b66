import argparse

import torch
import torch.nn.functional as F
from torch import nn


def textures(n, generator):
    """Noisy 12x12 textures: horizontal, vertical, diagonal or checkered waves."""
    label = torch.randint(0, 4, (n,), generator=generator)
    axis = torch.arange(12).float()
    phase = torch.rand(n, 1, 1, generator=generator) * 6.28
    row, col = axis[None, :, None] * 1.3, axis[None, None, :] * 1.3
    waves = torch.stack(
        [
            torch.sin(row + 0 * col + phase),
            torch.sin(col + 0 * row + phase),
            torch.sin((row + col) * 0.7 + phase),
            torch.sin(row + phase) * torch.sin(col + phase) * 1.5,
        ]
    )
    image = waves[label, torch.arange(n)] + 1.4 * torch.randn(n, 12, 12, generator=generator)
    return image.unsqueeze(1), label


class DeepNet(nn.Module):
    def __init__(self, channels=12, depth=6):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1 if i == 0 else channels, channels, 3, padding=1) for i in range(depth))
        self.fc = nn.Linear(channels, 4)
        for conv in self.convs:
            nn.init.normal_(conv.weight, std=1e-4)
            nn.init.zeros_(conv.bias)

    def forward(self, x):
        for i, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            if i == 2:
                x = F.max_pool2d(x, 2)
        return self.fc(x.mean((2, 3)))


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed + 1)
x_train, y_train = textures(1280, generator)
x_val, y_val = textures(320, generator)

model = DeepNet()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
for epoch in range(1, args.epochs + 1):
    model.train()
    train_loss = 0.0
    for rows in torch.randperm(len(x_train)).split(32):
        loss = F.cross_entropy(model(x_train[rows]), y_train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * len(rows) / len(x_train)
    model.eval()
    with torch.no_grad():
        out = model(x_val)
    val_loss, val_acc = F.cross_entropy(out, y_val).item(), (out.argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch} train_loss={train_loss:.4f} val_loss={val_loss:.4f} val_acc={val_acc:.4f}")
