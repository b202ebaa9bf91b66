"""TD(0): the value of the states of a random walk with a slope, learned with a small network and a target copy."""

import argparse
import copy
import random

import torch
from torch import nn

N, GAMMA = 15, 0.95


def walk(state, rng):
    """Next state, reward, whether it ended: the right end pays one, the left end nothing."""
    state += 1 if rng.random() < 0.6 else -1
    return state, float(state == N), state in (-1, N)


def true_values(sweeps=2000):
    v = [0.0] * N
    for _ in range(sweeps):
        right = [1.0 if s == N - 1 else GAMMA * v[s + 1] for s in range(N)]
        left = [0.0 if s == 0 else GAMMA * v[s - 1] for s in range(N)]
        v = [0.6 * r + 0.4 * x for r, x in zip(right, left)]
    return torch.tensor(v)


def encode(states):
    s = torch.as_tensor(states, dtype=torch.float32)[:, None]
    return torch.exp(-((s - torch.linspace(0, N - 1, 8)) ** 2) / 4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=140)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    value = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
    target = copy.deepcopy(value).requires_grad_(False)
    optimizer = torch.optim.Adam(value.parameters(), lr=2e-3)
    truth, memory, updates = true_values(), [], 0
    for episode in range(1, args.episodes + 1):
        state, done, losses = rng.randrange(N), False, []
        while not done:
            following, reward, done = walk(state, rng)
            memory.append((state, reward, max(0, min(N - 1, following)), float(done)))
            state = following
            if len(memory) < 200 or len(memory) % 2:
                continue
            s, r, s2, d = zip(*rng.sample(memory[-4000:], 32))
            goal = torch.tensor(r) + GAMMA * (1 - torch.tensor(d)) * target(encode(s2)).squeeze(1)
            loss = nn.functional.mse_loss(value(encode(s)).squeeze(1), goal)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            updates += 1
            if updates % 25 == 0:
                target.load_state_dict(value.state_dict())
        if episode % 20 == 0:
            with torch.no_grad():
                error = (value(encode(range(N))).squeeze(1) - truth).abs().mean()
            shown = f"{sum(losses) / len(losses):.5f}" if losses else "-"
            print(f"episode {episode}: {updates} updates, td loss {shown}, mean error of the values {error:.4f}")


if __name__ == "__main__":
    main()
