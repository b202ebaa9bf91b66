"""Contextual bandit: pick the cultivar of a wine, reward 1 when right."""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.distributions import Categorical


class Policy(nn.Module):
    def __init__(self, n_features, n_actions, hidden):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_features, hidden), nn.Tanh(), nn.Linear(hidden, n_actions))

    def forward(self, state):
        return torch.softmax(self.body(state), dim=-1)


class WineBandit:
    def __init__(self, rng):
        x, y = load_wine(return_X_y=True)
        order = rng.permutation(len(x))
        x, y = x[order], y[order]
        self.scaler = StandardScaler().fit(x[:130])
        self.x = torch.tensor(self.scaler.transform(x), dtype=torch.float32)
        self.y = torch.tensor(y)
        self.rng = rng

    def contexts(self, n):
        idx = torch.as_tensor(self.rng.integers(0, 130, n))
        return self.x[idx], idx

    def pull(self, idx, actions):
        return (self.y[idx] == actions).float()

    def held_out(self):
        return self.x[130:], self.y[130:]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--rounds", type=int, default=1500)
    ap.add_argument("--batch", type=int, default=64)
    ap.add_argument("--lr", type=float, default=3e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    env = WineBandit(np.random.default_rng(args.seed))
    policy = Policy(13, 3, 32)
    opt = torch.optim.Adam(policy.parameters(), lr=args.lr)
    baseline, window = 0.0, []
    for t in range(1, args.rounds + 1):
        state, idx = env.contexts(args.batch)
        dist = Categorical(logits=policy(state))
        action = dist.sample()
        reward = env.pull(idx, action)
        loss = -(dist.log_prob(action) * (reward - baseline)).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        baseline = 0.95 * baseline + 0.05 * reward.mean().item()
        window.append(reward.mean().item())
        if t % 150 == 0:
            with torch.no_grad():
                x, y = env.held_out()
                probs = policy(x)
                pick = (probs.argmax(1) == y).float().mean().item()
            print(
                f"round {t:5d}  mean reward {np.mean(window[-150:]):.3f}  "
                f"entropy {dist.entropy().mean().item():.3f}  held-out greedy {pick:.3f}"
            )


if __name__ == "__main__":
    main()
