import argparse

import torch
from torch import nn
from torch.distributions import Categorical

SIDE, HORIZON = 5, 16
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])


class Grid:
    """A batch of walkers, each with its own goal; every move costs 0.05, the goal pays 1."""

    def __init__(self, n):
        self.n = n

    def reset(self):
        self.pos = torch.randint(0, SIDE, (self.n, 2))
        self.goal = torch.randint(0, SIDE, (self.n, 2))
        self.done = (self.pos == self.goal).all(1)
        return self.observe()

    def observe(self):
        return torch.cat([self.pos, self.goal], 1).float() / (SIDE - 1) * 2 - 1

    def step(self, action):
        alive = ~self.done
        self.pos = torch.where(alive[:, None], (self.pos + MOVES[action]).clamp(0, SIDE - 1), self.pos)
        reached = (self.pos == self.goal).all(1) & alive
        self.done |= reached
        return self.observe(), reached.float() - 0.05 * alive.float(), alive


class Policy(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.actor = nn.Linear(hidden, 4)
        self.critic = nn.Linear(hidden, 1)

    def forward(self, obs):
        h = self.body(obs)
        return torch.softmax(self.actor(h), dim=-1), self.critic(h).squeeze(-1)


def rollout(env, policy):
    obs = env.reset()
    logps, values, entropies, rewards, masks = [], [], [], [], []
    for _ in range(HORIZON):
        probs, value = policy(obs)
        dist = Categorical(probs=probs)
        action = dist.sample()
        obs, reward, alive = env.step(action)
        logps.append(dist.log_prob(action))
        entropies.append(dist.entropy())
        values.append(value)
        rewards.append(reward)
        masks.append(alive.float())
    return map(torch.stack, (logps, values, entropies, rewards, masks)), env.done.float().mean().item()


def returns_to_go(rewards, gamma):
    out = torch.zeros_like(rewards)
    acc = torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        acc = rewards[t] + gamma * acc
        out[t] = acc
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--updates", type=int, default=240)
    ap.add_argument("--envs", type=int, default=64)
    ap.add_argument("--gamma", type=float, default=0.95)
    ap.add_argument("--lr", type=float, default=4e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    env, policy = Grid(args.envs), Policy()
    opt = torch.optim.Adam(policy.parameters(), lr=args.lr)
    scores = []
    for update in range(1, args.updates + 1):
        (logp, value, entropy, reward, mask), solved = rollout(env, policy)
        ret = returns_to_go(reward, args.gamma)
        adv = (ret - value).detach()
        n = mask.sum()
        actor_loss = -(logp * adv * mask).sum() / n
        critic_loss = ((ret - value) ** 2 * mask).sum() / n
        loss = actor_loss + 0.5 * critic_loss - 0.005 * (entropy * mask).sum() / n
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        opt.step()
        scores.append((reward.sum(0).mean().item(), solved))
        if update % 20 == 0:
            r, s = torch.tensor(scores[-20:]).mean(0).tolist()
            print(f"update {update:4d}  return {r:+.3f}  solved {s:.3f}  critic {critic_loss.item():.3f}")


if __name__ == "__main__":
    main()
