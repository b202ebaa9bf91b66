import argparse

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def draw_shapes(n, size=16):
    """Images of four kinds: horizontal bar, vertical bar, diagonal, ring; random place, noise."""
    images = 0.3 * torch.randn(n, 1, size, size)
    labels = torch.randint(0, 4, (n,))
    yy, xx = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for i, label in enumerate(labels.tolist()):
        cy, cx = torch.randint(5, size - 5, (2,)).tolist()
        near = ((yy - cy).abs() <= 4) & ((xx - cx).abs() <= 4)
        if label == 0:
            shape = near & (yy == cy)
        elif label == 1:
            shape = near & (xx == cx)
        elif label == 2:
            shape = near & ((yy - cy) == (xx - cx))
        else:
            distance = (yy - cy) ** 2 + (xx - cx) ** 2
            shape = (distance >= 9) & (distance <= 17)
        images[i, 0] += shape.float()
    return images, labels


class ShapeNet(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        return self.head(self.body(x))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--lr", type=float, default=3e-3)
args = parser.parse_args()
torch.manual_seed(args.seed)

train_data = TensorDataset(*draw_shapes(1200))
val_images, val_labels = draw_shapes(300)
loader = DataLoader(train_data, batch_size=32, shuffle=True, drop_last=True)

model = ShapeNet()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(args.epochs):
    model.train()
    seen, hits, total = 0, 0, 0.0
    for images, labels in loader:
        logits = model(images)
        loss = loss_fn(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        hits += (logits.argmax(1) == labels).sum().item()
        seen += len(labels)
    model.eval()
    with torch.no_grad():
        val_acc = (model(val_images).argmax(1) == val_labels).float().mean().item()
    print(f"{epoch + 1:>2}/{args.epochs} loss={total / seen:.3f} acc={hits / seen:.3f} val_acc={val_acc:.3f}")
