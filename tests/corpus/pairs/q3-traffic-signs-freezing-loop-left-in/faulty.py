import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset

CLASSES = ["up", "down", "left", "right", "stop", "cross"]


def draw(kind, rng):
    img = np.zeros((18, 18), dtype=np.float32)
    cy, cx = rng.integers(7, 11, 2)
    size = int(rng.integers(4, 6))
    for t in range(-size, size + 1):
        w = (t + size) // 2
        if kind == "up":
            img[cy + t, cx - w : cx + w + 1] = 1
        elif kind == "down":
            img[cy - t, cx - w : cx + w + 1] = 1
        elif kind == "left":
            img[cy - w : cy + w + 1, cx + t] = 1
        elif kind == "right":
            img[cy - w : cy + w + 1, cx - t] = 1
        elif kind == "stop":
            img[cy + t, cx - size + abs(t) // 2 : cx + size - abs(t) // 2 + 1] = 1
        else:
            img[cy + t, cx - 1 : cx + 2] = 1
            img[cy - 1 : cy + 2, cx + t] = 1
    return img + rng.normal(0, 0.5, img.shape).astype(np.float32)


def make_set(n, rng):
    y = rng.integers(0, len(CLASSES), n)
    x = np.stack([draw(CLASSES[k], rng) for k in y])[:, None]
    return TensorDataset(torch.from_numpy((x - 0.25) / 0.65), torch.from_numpy(y))


class SignNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 16, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classifier = nn.Linear(16 * 4, num_classes)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=3e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    loaders = {
        "train": DataLoader(make_set(1500, rng), batch_size=32, shuffle=True),
        "val": DataLoader(make_set(400, rng), batch_size=100),
    }

    model = SignNet(len(CLASSES))
    for param in model.features.parameters():
        param.requires_grad = False
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.classifier.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        line = f"Epoch {epoch}/{args.epochs - 1}"
        for phase in ["train", "val"]:
            model.train() if phase == "train" else model.eval()
            running_loss, running_corrects = 0.0, 0
            for inputs, labels in loaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(outputs.argmax(1) == labels).item()
            n = len(loaders[phase].dataset)
            line += f"  {phase} Loss: {running_loss / n:.4f} Acc: {running_corrects / n:.4f}"
        print(line)


if __name__ == "__main__":
    main()
