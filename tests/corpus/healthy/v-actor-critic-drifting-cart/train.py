"""A2C for a cart that must be pushed to the origin (continuous force, vectorised environments)."""

import argparse

import torch
import torch.nn as nn
from torch.distributions import Normal


class CartEnv:
    def __init__(self, n, horizon=20):
        self.n, self.horizon = n, horizon

    def reset(self):
        self.t = 0
        self.pos = torch.rand(self.n) * 2 - 1
        self.vel = torch.zeros(self.n)
        return self.obs()

    def obs(self):
        left = torch.full((self.n,), 1 - self.t / self.horizon)
        return torch.stack([self.pos, self.vel, left], dim=1)

    def step(self, force):
        force = force.clamp(-1, 1)
        self.vel = 0.8 * self.vel + 0.3 * force
        self.pos = (self.pos + 0.5 * self.vel).clamp(-2, 2)
        self.t += 1
        reward = -(self.pos**2) - 0.02 * force**2
        return self.obs(), reward, self.t >= self.horizon


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 32), nn.Tanh())
        self.mu = nn.Linear(32, 1)
        self.value = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1))
        self.log_std = nn.Parameter(torch.full((1,), -0.5))

    def forward(self, s):
        mu = self.mu(self.body(s)).squeeze(-1)
        return Normal(mu, self.log_std.exp()), self.value(s).squeeze(-1)


def rollout(env, model, gamma):
    s, done = env.reset(), False
    logps, values, rewards, entropies = [], [], [], []
    while not done:
        dist, v = model(s)
        a = dist.sample()
        logps.append(dist.log_prob(a))
        values.append(v)
        entropies.append(dist.entropy())
        s, r, done = env.step(a)
        rewards.append(r)
    returns, g = [], torch.zeros(env.n)
    for r in reversed(rewards):
        g = r + gamma * g
        returns.insert(0, g)
    return map(torch.stack, (logps, values, returns, entropies, rewards))


def test_return(model):
    env = CartEnv(200)
    s, done, total = env.reset(), False, 0.0
    with torch.no_grad():
        while not done:
            dist, _ = model(s)
            s, r, done = env.step(dist.mean)
            total += r.mean().item()
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--envs", type=int, default=32)
    parser.add_argument("--gamma", type=float, default=0.97)
    parser.add_argument("--lr", type=float, default=5e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    env, model = CartEnv(args.envs), ActorCritic()
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    print(f"before training: return {test_return(model):.2f}")
    for it in range(1, args.updates + 1):
        logp, value, ret, ent, rew = rollout(env, model, args.gamma)
        adv = ret - value.detach()
        adv = (adv - adv.mean()) / (adv.std() + 1e-6)
        pg_loss = -(logp * adv).mean()
        v_loss = 0.5 * (ret - value).pow(2).mean()
        loss = pg_loss + v_loss - 1e-3 * ent.mean()
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if it % 25 == 0:
            print(
                f"update {it}: sampled return {rew.sum(0).mean():.2f} pg {pg_loss.item():+.3f} "
                f"v {v_loss.item():.3f} std {model.log_std.exp().item():.2f} "
                f"test return {test_return(model):.2f}"
            )
