"""REINFORCE on a cart-pole written by hand."""

import argparse
import math
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical


class CartPole:
    def reset(self):
        self.state = [random.uniform(-0.05, 0.05) for _ in range(4)]
        self.t = 0
        return self.state

    def step(self, action):
        x, v, angle, w = self.state
        force = 10.0 if action == 1 else -10.0
        c, s = math.cos(angle), math.sin(angle)
        temp = (force + 0.05 * w * w * s) / 1.1
        alpha = (9.8 * s - c * temp) / (0.5 * (4.0 / 3.0 - 0.1 * c * c / 1.1))
        acc = temp - 0.05 * alpha * c / 1.1
        self.state = [x + 0.02 * v, v + 0.02 * acc, angle + 0.02 * w, w + 0.02 * alpha]
        self.t += 1
        done = abs(self.state[0]) > 2.4 or abs(self.state[2]) > 0.2095 or self.t >= 100
        return self.state, 1.0, done


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 64)
        self.affine2 = nn.Linear(64, 2)

    def forward(self, x):
        return F.softmax(self.affine2(F.relu(self.affine1(x))), dim=-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--gamma", type=float, default=0.99)
parser.add_argument("--episodes", type=int, default=120)
args = parser.parse_args()
random.seed(args.seed)
torch.manual_seed(args.seed)

env = CartPole()
policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
eps = 1e-8

running = 10.0
for episode in range(1, args.episodes + 1):
    state, log_probs, rewards, done = env.reset(), [], [], False
    while not done:
        dist = Categorical(policy(torch.tensor(state).unsqueeze(0)))
        action = dist.sample()
        log_probs.append(dist.log_prob(action))
        state, reward, done = env.step(action.item())
        rewards.append(reward)

    returns, R = [], 0.0
    for r in rewards[::-1]:
        R = r + args.gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + eps)

    optimizer.zero_grad()
    policy_loss = torch.cat([-lp * g for lp, g in zip(log_probs, returns)]).sum()
    policy_loss.backward()
    optimizer.step()

    running = 0.9 * running + 0.1 * sum(rewards)
    if episode % 10 == 0:
        print(f"Episode {episode}\tLast reward: {sum(rewards):.0f}\tRunning reward: {running:.1f}")
