import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits


class ConvBN(nn.Module):
    """3x3 convolution, normalisation and ReLU with hand-kept statistics."""

    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.scale = nn.Parameter(torch.ones(cout))
        self.shift = nn.Parameter(torch.zeros(cout))
        self.register_buffer("mean", torch.zeros(cout))
        self.register_buffer("var", torch.ones(cout))

    def forward(self, x):
        x = self.conv(x)
        x = F.batch_norm(x, self.mean, self.var, self.scale, self.shift, training=self.training, momentum=0.1)
        return F.relu(x)


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.b1 = ConvBN(1, 8)
        self.b2 = ConvBN(8, 16)
        self.b3 = ConvBN(16, 24)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = F.max_pool2d(self.b1(x), 2)
        x = self.b3(self.b2(x))
        return self.fc(x.mean(dim=(2, 3)))


def per_digit_report(model, images, labels):
    """Loss and recall, one digit at a time."""
    model.eval()
    recalls, losses = [], []
    with torch.no_grad():
        for d in range(10):
            mask = labels == d
            out = model(images[mask])
            losses.append(F.cross_entropy(out, labels[mask]).item())
            recalls.append((out.argmax(1) == d).float().mean().item())
    return sum(losses) / 10, recalls


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
args = parser.parse_args()
torch.manual_seed(args.seed)

bunch = load_digits()
images = ((torch.tensor(bunch.images) - 4.88) / 6.02).float()[:, None]
labels = torch.tensor(bunch.target)
perm = torch.randperm(len(labels))
tr, va = perm[:1440], perm[1440:]

model = DigitNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(args.epochs):
    model.train()
    order = tr[torch.randperm(len(tr))]
    train_loss = 0.0
    for idx in order.split(48):
        loss = F.cross_entropy(model(images[idx]), labels[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train_loss += loss.item() * len(idx) / len(tr)
    val_loss, recalls = per_digit_report(model, images[va], labels[va])
    print(
        f"epoch {epoch + 1:2d} train {train_loss:.3f} val {val_loss:.3f} mean recall {sum(recalls) / 10:.3f} worst {min(recalls):.2f}"
    )
