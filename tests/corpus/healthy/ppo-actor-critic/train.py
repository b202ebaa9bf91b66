"""PPO with a shared actor-critic on vectorised point masses."""

import argparse

import torch
import torch.nn as nn
from torch.distributions import Normal


class PointMass:
    """N points on a line that have to reach the origin and stay there."""

    def __init__(self, n):
        self.n = n
        self.reset(torch.ones(n, dtype=torch.bool))

    def reset(self, mask):
        if not hasattr(self, "x"):
            self.x, self.v, self.t = torch.zeros(self.n), torch.zeros(self.n), torch.zeros(self.n)
        k = int(mask.sum())
        self.x[mask] = torch.rand(k) * 2 - 1
        self.v[mask] = 0.0
        self.t[mask] = 0.0

    def obs(self):
        return torch.stack([self.x, self.v], dim=1)

    def step(self, a):
        a = a.clamp(-1, 1)
        self.v = 0.5 * self.v + 0.5 * a
        self.x = self.x + 0.2 * self.v
        self.t = self.t + 1
        reward = 0.2 * (0.5 - self.x.abs() - 0.01 * a**2)
        done = self.t >= 32
        self.reset(done)
        return self.obs(), reward, done.float()


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
        self.mean = nn.Linear(64, 1)
        self.log_std = nn.Parameter(torch.zeros(1))
        self.value = nn.Linear(64, 1)

    def forward(self, x):
        h = self.body(x)
        return Normal(self.mean(h).squeeze(-1), self.log_std.exp()), self.value(h).squeeze(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--updates", type=int, default=40)
args = parser.parse_args()
torch.manual_seed(args.seed)

N, T, GAMMA, LAM, CLIP = 16, 32, 0.97, 0.95, 0.2
env, net = PointMass(N), ActorCritic()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3, eps=1e-5)

obs = env.obs()
for update in range(1, args.updates + 1):
    S, A, L, R, D, V = [], [], [], [], [], []
    with torch.no_grad():
        for _ in range(T):
            dist, value = net(obs)
            action = dist.sample()
            nxt, reward, done = env.step(action)
            for store, item in zip((S, A, L, R, D, V), (obs, action, dist.log_prob(action), reward, done, value)):
                store.append(item)
            obs = nxt
        _, last_value = net(obs)
    adv, gae = [torch.zeros(N)] * T, torch.zeros(N)
    for t in reversed(range(T)):
        following = last_value if t == T - 1 else V[t + 1]
        delta = R[t] + GAMMA * following * (1 - D[t]) - V[t]
        gae = delta + GAMMA * LAM * (1 - D[t]) * gae
        adv[t] = gae
    adv = torch.stack(adv)
    returns = (adv + torch.stack(V)).flatten()
    b_obs, b_act, b_logp, b_adv = torch.cat(S), torch.cat(A), torch.cat(L), adv.flatten()

    for _ in range(4):
        for idx in torch.randperm(N * T).split(128):
            dist, value = net(b_obs[idx])
            ratio = (dist.log_prob(b_act[idx]) - b_logp[idx]).exp()
            a = b_adv[idx]
            a = (a - a.mean()) / (a.std() + 1e-8)
            pg_loss = -torch.min(ratio * a, ratio.clamp(1 - CLIP, 1 + CLIP) * a).mean()
            v_loss = 0.5 * (value - returns[idx]).pow(2).mean()
            loss = pg_loss + 0.5 * v_loss - 0.001 * dist.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
    if update % 8 == 0:
        print(f"update {update}: mean reward {torch.stack(R).mean():.3f}  policy {pg_loss:.4f}  value {v_loss:.4f}")
