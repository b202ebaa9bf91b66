"""An epsilon-greedy contextual bandit with a network for the expected reward of each arm."""

import argparse
import random

import torch
import torch.nn as nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--rounds", type=int, default=1200)
parser.add_argument("--arms", type=int, default=5)
args = parser.parse_args()
random.seed(args.seed)
torch.manual_seed(args.seed)

theta = torch.randn(args.arms, 8)


def context():
    return torch.randn(8)


def pull(x, arm):
    p = torch.sigmoid(theta[arm] @ x - 1.0)
    return float(torch.rand(()) < p)


net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, args.arms))
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
loss_fn = nn.BCEWithLogitsLoss()
history, regret = [], []

for t in range(1, args.rounds + 1):
    x = context()
    epsilon = max(0.05, 1 - t / 300)
    if random.random() < epsilon:
        arm = random.randrange(args.arms)
    else:
        with torch.no_grad():
            arm = int(net(x).argmax())
    history.append((x, arm, pull(x, arm)))
    expected = torch.sigmoid(theta @ x - 1.0)
    regret.append((expected.max() - expected[arm]).item())

    sample = random.sample(history, min(32, len(history)))
    xs = torch.stack([s[0] for s in sample])
    arms = torch.tensor([s[1] for s in sample])
    rewards = torch.tensor([s[2] for s in sample])
    predicted = net(xs)[torch.arange(len(sample)), arms]
    loss = loss_fn(predicted, rewards)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if t % 200 == 0:
        print(f"round {t}: mean regret of the last 200 {sum(regret[-200:]) / 200:.3f}  loss {loss.item():.3f}")
