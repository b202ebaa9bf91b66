import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

ACCUMULATE = 8


def draw_discs(n, size=16):
    grid = torch.arange(size, dtype=torch.float32)
    cx, cy = 4 + 8 * torch.rand(n, 1, 1), 4 + 8 * torch.rand(n, 1, 1)
    radius = 2 + 3 * torch.rand(n, 1, 1)
    mask = ((grid[None, :, None] - cy) ** 2 + (grid[None, None, :] - cx) ** 2 < radius**2).float()
    image = mask + 0.7 * torch.randn(n, size, size)
    return (image - 0.15) / 0.8, mask


class SegNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.mid = nn.Sequential(nn.Conv2d(12, 24, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(24, 12, 2, stride=2)
        self.out = nn.Conv2d(13, 1, 3, padding=1)

    def forward(self, x):
        h = torch.relu(self.up(self.mid(self.down(x))))
        return self.out(torch.cat([h, x], dim=1))


def iou(logits, masks):
    guess, truth = logits > 0, masks > 0.5
    return (guess & truth).sum().item() / max((guess | truth).sum().item(), 1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=6)
args = parser.parse_args()
torch.manual_seed(args.seed)

images, masks = draw_discs(1300)
images, masks = images.unsqueeze(1), masks.unsqueeze(1)
train_loader = DataLoader(TensorDataset(images[:1024], masks[:1024]), batch_size=4, shuffle=True)
val_images, val_masks = images[1024:], masks[1024:]

model = SegNet()
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

for epoch in range(args.epochs):
    model.train()
    running = 0.0
    for i, (image, mask) in enumerate(train_loader):
        loss = criterion(model(image), mask)
        (loss / ACCUMULATE).backward()
        running += loss.item()
        if (i + 1) % ACCUMULATE == 0:
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        logits = model(val_images)
        val_loss = criterion(logits, val_masks).item()
    print(
        f"epoch {epoch + 1} train {running / len(train_loader):.4f} val {val_loss:.4f} iou {iou(logits, val_masks):.3f}"
    )
