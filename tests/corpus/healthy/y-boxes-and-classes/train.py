"""Find the one object in a picture: class by cross entropy, box by smooth L1, judged by overlap."""

import argparse
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

SIZE = 20


@dataclass
class Settings:
    seed: int = 0
    epochs: int = 10
    lr: float = 2e-3
    batch: int = 50
    box_weight: float = 5.0


def scenes(n: int) -> TensorDataset:
    """Pictures with one filled or framed rectangle; boxes are x0, y0, x1, y1 as fractions of the picture."""
    pictures = 0.2 * torch.randn(n, 1, SIZE, SIZE)
    kinds = torch.randint(2, (n,))
    corners = torch.randint(0, SIZE - 10, (n, 2))
    extents = torch.randint(5, 11, (n, 2))
    boxes = torch.cat([corners, corners + extents], dim=1)
    for picture, kind, (x0, y0, x1, y1) in zip(pictures[:, 0], kinds, boxes.tolist()):
        patch = picture[y0:y1, x0:x1]
        patch += 1.0
        if kind == 1:
            patch[1:-1, 1:-1] -= 1.0
    return TensorDataset(pictures, kinds, boxes.float() / SIZE)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24 * 25, 64),
            nn.ReLU(),
        )
        self.kind = nn.Linear(64, 2)
        self.box = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.backbone(x)
        return self.kind(h), self.box(h)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    width = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    area = lambda r: (r[:, 2] - r[:, 0]).clamp(min=0) * (r[:, 3] - r[:, 1]).clamp(min=0)  # noqa: E731
    both = width.prod(1)
    return both / (area(a) + area(b) - both)


def fit(cfg: Settings) -> None:
    torch.manual_seed(cfg.seed)
    train = DataLoader(scenes(1600), batch_size=cfg.batch, shuffle=True)
    test = DataLoader(scenes(300), batch_size=100)
    net = Detector()
    optimizer = torch.optim.Adam(net.parameters(), lr=cfg.lr)
    for epoch in range(cfg.epochs):
        net.train()
        sums = torch.zeros(2)
        for x, kind, box in train:
            logits, guess = net(x)
            class_loss = nn.functional.cross_entropy(logits, kind)
            box_loss = nn.functional.smooth_l1_loss(guess, box, beta=0.1)
            optimizer.zero_grad()
            (class_loss + cfg.box_weight * box_loss).backward()
            optimizer.step()
            sums += torch.tensor([class_loss.item(), box_loss.item()])
        net.eval()
        with torch.no_grad():
            parts = [(net(x), kind, box) for x, kind, box in test]
        right = torch.cat([out[0].argmax(1) == kind for out, kind, _ in parts]).float().mean()
        iou = torch.cat([overlap(out[1], box) for out, _, box in parts]).mean()
        c, b = (sums / len(train)).tolist()
        print(f"epoch {epoch}: class {c:.4f} box {b:.4f} | accuracy {right:.3f} mean overlap {iou:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    opts = parser.parse_args()
    fit(Settings(seed=opts.seed, epochs=opts.epochs))
