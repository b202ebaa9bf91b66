import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import nn


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    logits = model(x)
    loss = F.binary_cross_entropy_with_logits(logits, y)
    loss.backward()
    optimizer.step()
    return loss.item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--max-steps", type=int, default=1500)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--lr", type=float, default=0.1)
args = parser.parse_args()
torch.manual_seed(args.seed)

points, labels = make_moons(n_samples=1500, noise=0.15, random_state=args.seed)
points = torch.tensor((points - points.mean(0)) / points.std(0), dtype=torch.float32)
targets = torch.tensor(2 * labels - 1, dtype=torch.float32).unsqueeze(1)
train_x, train_y, test_x, test_y = points[:1200], targets[:1200], points[1200:], targets[1200:]

model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

steps, running = 0, 0.0
while steps < args.max_steps:
    for idx in torch.randperm(len(train_x)).split(args.batch):
        running += step(model, optimizer, train_x[idx], train_y[idx])
        steps += 1
        if steps % 150 == 0:
            with torch.no_grad():
                predicted = (model(test_x) > 0).float()
            accuracy = (predicted == (test_y > 0).float()).float().mean().item()
            print(f"step {steps:5d}  loss {running / 150:.4f}  test accuracy {accuracy:.3f}")
            running = 0.0
        if steps >= args.max_steps:
            break
