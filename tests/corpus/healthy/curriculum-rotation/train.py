"""Predicts rotations of digits, harder ones later, then fits a linear probe on the frozen features."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 24, 3, padding=1)
        self.c2 = nn.Conv2d(24, 32, 3, padding=1)
        self.fc = nn.Linear(512, 64)

    def forward(self, x):
        x = F.max_pool2d(F.elu(self.c2(F.elu(self.c1(x)))), 2)
        return F.elu(self.fc(x.flatten(1)))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_digits()
x = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
y = torch.tensor(data.target)
x_train, x_test, y_train, y_test = x[:1300], x[1300:], y[:1300], y[1300:]

encoder, rotation_head = Encoder(), nn.Linear(64, 4)
optimizer = torch.optim.Adam([*encoder.parameters(), *rotation_head.parameters()], lr=1e-3)


def rotated(batch, noise):
    k = torch.randint(4, (len(batch),))
    turned = torch.stack([torch.rot90(img, int(n), dims=(1, 2)) for img, n in zip(batch, k)])
    return turned + noise * torch.randn_like(turned), k


for epoch in range(args.epochs):
    noise = 0.3 * epoch / args.epochs
    losses, hits = [], 0
    for idx in torch.randperm(len(x_train)).split(50):
        inputs, k = rotated(x_train[idx], noise)
        logits = rotation_head(encoder(inputs))
        loss = F.cross_entropy(logits, k)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        hits += (logits.argmax(1) == k).sum().item()
    print(f"pretext {epoch}: loss {sum(losses) / len(losses):.4f} rotation accuracy {hits / len(x_train):.3f}")

encoder.eval()
encoder.requires_grad_(False)
probe = nn.Linear(64, 10)
optimizer = torch.optim.SGD(probe.parameters(), lr=0.05, momentum=0.9)
for epoch in range(12):
    total = 0.0
    for idx in torch.randperm(len(x_train)).split(50):
        loss = F.cross_entropy(probe(encoder(x_train[idx])), y_train[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    with torch.no_grad():
        acc = (probe(encoder(x_test)).argmax(1) == y_test).float().mean().item()
    if epoch % 3 == 2:
        print(f"probe {epoch}: loss {total / len(x_train):.4f} test accuracy {acc:.4f}")
