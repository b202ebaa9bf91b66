"""Mean teacher on digits with 200 labels."""

import argparse
import copy
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--labels", type=int, default=200)
args = parser.parse_args()
torch.manual_seed(args.seed)

X, y = load_digits(return_X_y=True)
X, y = torch.tensor(X, dtype=torch.float32) / 16, torch.tensor(y)
perm = torch.randperm(len(X))
X, y = X[perm], y[perm]
x_lab, y_lab = X[: args.labels], y[: args.labels]
x_unl = X[:1400]
x_test, y_test = X[1400:], y[1400:]


def noisy(x):
    return x + 0.15 * torch.randn_like(x)


student = nn.Sequential(
    nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
)
teacher = copy.deepcopy(student)
for p in teacher.parameters():
    p.requires_grad_(False)
optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)


@torch.no_grad()
def update_teacher(step, decay=0.98):
    decay = min(1 - 1 / (step + 1), decay)
    for t, s in zip(teacher.parameters(), student.parameters()):
        t.mul_(decay).add_(s, alpha=1 - decay)


@torch.no_grad()
def accuracy(net):
    net.eval()
    result = (net(x_test).argmax(1) == y_test).float().mean().item()
    net.train()
    return result


for step in range(args.steps):
    lab = torch.randint(len(x_lab), (32,))
    unl = torch.randint(len(x_unl), (96,))
    supervised = F.cross_entropy(student(noisy(x_lab[lab])), y_lab[lab])
    with torch.no_grad():
        target = teacher(noisy(x_unl[unl])).softmax(1)
    consistency = F.mse_loss(student(noisy(x_unl[unl])).softmax(1), target)
    ramp = math.exp(-5 * (1 - min(1.0, step / 150)) ** 2)
    loss = supervised + 10.0 * ramp * consistency
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    update_teacher(step)
    if (step + 1) % 80 == 0:
        print(
            f"step {step + 1}: ce {supervised.item():.3f} consistency {consistency.item():.4f} "
            f"student {accuracy(student):.3f} teacher {accuracy(teacher):.3f}"
        )
