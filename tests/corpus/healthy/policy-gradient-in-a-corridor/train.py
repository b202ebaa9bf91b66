import argparse

import torch
from torch import nn
from torch.distributions import Categorical

LENGTH, LIMIT = 8, 30


class Corridor:
    """Walk from a random cell to the last one; each step costs a little, the goal pays one."""

    def reset(self):
        self.cell = int(torch.randint(0, LENGTH - 2, (1,)))
        self.steps = 0
        return self.observe()

    def observe(self):
        return nn.functional.one_hot(torch.tensor(self.cell), LENGTH).float()

    def step(self, action):
        self.cell = max(0, self.cell + (1 if action == 1 else -1))
        self.steps += 1
        done = self.cell == LENGTH - 1
        reward = 1.0 if done else -0.05
        return self.observe(), reward, done or self.steps >= LIMIT


class Policy(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(LENGTH, hidden), nn.Tanh(), nn.Linear(hidden, 2))

    def forward(self, observation):
        return Categorical(logits=self.net(observation))


def play(env, policy):
    observation, done = env.reset(), False
    log_probs, rewards = [], []
    while not done:
        distribution = policy(observation)
        action = distribution.sample()
        log_probs.append(distribution.log_prob(action))
        observation, reward, done = env.step(action.item())
        rewards.append(reward)
    return torch.stack(log_probs), rewards


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--gamma", type=float, default=0.95)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    env, policy = Corridor(), Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=args.lr)
    baseline, recent = 0.0, []
    for episode in range(1, args.episodes + 1):
        log_probs, rewards = play(env, policy)
        returns, g = [], 0.0
        for reward in reversed(rewards):
            g = reward + args.gamma * g
            returns.insert(0, g)
        returns = torch.tensor(returns)
        loss = -((returns - baseline) * log_probs).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = 0.95 * baseline + 0.05 * returns.mean().item()
        recent.append(sum(rewards))
        if episode % 30 == 0:
            print(f"episode {episode}: loss {loss.item():+.4f}, return of the last 30 {sum(recent[-30:]) / 30:.3f}")


if __name__ == "__main__":
    main()
