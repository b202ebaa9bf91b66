import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class AutoEncoder(nn.Module):
    def __init__(self, code=12):
        super().__init__()
        self.enc = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(128, code),
        )
        self.dec = nn.Sequential(
            nn.Linear(code, 128),
            nn.LeakyReLU(0.1),
            nn.Unflatten(1, (32, 2, 2)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        return self.dec(self.enc(x))


def adjust_learning_rate(optimizer, epoch, args):
    """Halves the learning rate every three epochs."""
    for group in optimizer.param_groups:
        group["lr"] *= 0.5 ** (epoch // 3)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--momentum", type=float, default=0.9)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1)
images = (images - images.mean()) / images.std()
images = images[torch.randperm(len(images))]
train, val = images[:1400], images[1400:]

model = AutoEncoder()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=args.momentum)

for epoch in range(args.epochs):
    adjust_learning_rate(optimizer, epoch, args)
    model.train()
    order = torch.randperm(len(train))
    running = 0.0
    for i in range(0, len(train), args.batch_size):
        x = train[order[i : i + args.batch_size]]
        loss = F.mse_loss(model(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += loss.item() * len(x)
    model.eval()
    with torch.no_grad():
        val_mse = F.mse_loss(model(val), val).item()
    print(
        f"epoch {epoch:2d}  lr {optimizer.param_groups[0]['lr']:.2e}  "
        f"train mse {running / len(train):.4f}  val mse {val_mse:.4f}"
    )
