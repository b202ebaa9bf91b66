import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Pendulum:
    """A batch of inverted pendulums pushed left, not at all, or right."""

    def __init__(self, n):
        self.state = 0.3 * torch.randn(n, 2)

    def step(self, action):
        angle, speed = self.state.unbind(1)
        speed = speed + 0.05 * (5.0 * torch.sin(angle) + 6.0 * (action.float() - 1)) + 0.01 * torch.randn_like(speed)
        angle = (angle + 0.05 * speed).clamp(-math.pi / 2, math.pi / 2)
        self.state = torch.stack([angle, speed], dim=1)
        return self.state


def expert(state):
    push = -(8.0 * state[:, 0] + 2.0 * state[:, 1])
    return 1 + (push > 0.5).long() - (push < -0.5).long()


@torch.no_grad()
def roll_out(policy, n=30, steps=20):
    policy.eval()
    world, visited = Pendulum(n), []
    for _ in range(steps):
        visited.append(world.state)
        world.step(policy(world.state).argmax(dim=1))
    upright = (world.state[:, 0].abs() < 0.3).float().mean().item()
    policy.train()
    return torch.cat(visited), upright


def fit(policy, optimizer, states, actions, epochs):
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(states)).split(64):
            loss = F.cross_entropy(policy(states[rows]), actions[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
    return total / len(states)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    policy = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(policy.parameters(), lr=5e-3)
    world, states = Pendulum(40), []
    for _ in range(20):
        states.append(world.state)
        world.step(expert(world.state))
    states = torch.cat(states)
    for r in range(args.rounds):
        loss = fit(policy, optimizer, states, expert(states), args.epochs)
        visited, upright = roll_out(policy)
        agreement = (policy(visited).argmax(dim=1) == expert(visited)).float().mean().item()
        print(f"round {r}: {len(states)} states, loss {loss:.4f}, agreement {agreement:.3f}, upright {upright:.2f}")
        states = torch.cat([states, visited])


if __name__ == "__main__":
    main()
