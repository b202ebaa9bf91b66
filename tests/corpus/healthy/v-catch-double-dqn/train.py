import argparse
import copy
import random
from collections import deque, namedtuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

Transition = namedtuple("Transition", "state action reward next_state done")


class Catch:
    """A ball falls through a 6x5 board; move the paddle on the last row to catch it."""

    rows, cols = 6, 5

    def reset(self):
        self.ball = [0, random.randrange(self.cols)]
        self.paddle = random.randrange(self.cols)
        return self._obs()

    def _obs(self):
        board = np.zeros((self.rows, self.cols), dtype=np.float32)
        board[self.ball[0], self.ball[1]] = 1.0
        board[self.rows - 1, self.paddle] += 1.0
        return board.ravel()

    def step(self, action):
        self.paddle = min(max(self.paddle + action - 1, 0), self.cols - 1)
        self.ball[0] += 1
        done = self.ball[0] == self.rows - 1
        reward = (1.0 if self.ball[1] == self.paddle else -1.0) if done else 0.0
        return self._obs(), reward, done


class QNet(nn.Module):
    def __init__(self, n_in=30, n_actions=3):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, n_actions)
        )

    def forward(self, x):
        return self.model(x)


class Agent:
    def __init__(self, lr, gamma):
        self.online = QNet()
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.opt = torch.optim.Adam(self.online.parameters(), lr=lr)
        self.memory = deque(maxlen=3000)
        self.gamma = gamma

    def act(self, state, eps):
        if random.random() < eps:
            return random.randrange(3)
        with torch.no_grad():
            return self.online(torch.from_numpy(state)).argmax().item()

    def learn(self, batch_size):
        batch = Transition(*zip(*random.sample(self.memory, batch_size)))
        s = torch.from_numpy(np.stack(batch.state))
        s2 = torch.from_numpy(np.stack(batch.next_state))
        a = torch.tensor(batch.action).unsqueeze(1)
        r = torch.tensor(batch.reward)
        d = torch.tensor(batch.done, dtype=torch.float32)
        q = self.online(s).gather(1, a).squeeze(1)
        with torch.no_grad():
            best = self.online(s2).argmax(1, keepdim=True)
            y = r + self.gamma * (1 - d) * self.target(s2).gather(1, best).squeeze(1)
        loss = F.smooth_l1_loss(q, y)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=3500)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    random.seed(args.seed)

    env, agent = Catch(), Agent(args.lr, gamma=0.95)
    state, rewards, losses = env.reset(), deque(maxlen=100), deque(maxlen=200)
    for step in range(1, args.max_steps + 1):
        eps = max(0.05, 1.0 - step / 2000)
        action = agent.act(state, eps)
        nxt, reward, done = env.step(action)
        agent.memory.append(Transition(state, action, reward, nxt, done))
        state = env.reset() if done else nxt
        if done:
            rewards.append(reward)
        if step >= 200 and step % 2 == 0:
            losses.append(agent.learn(args.batch_size))
        if step % 150 == 0:
            agent.target.load_state_dict(agent.online.state_dict())
        if step % 500 == 0:
            print(f"step {step} eps {eps:.2f} mean reward {np.mean(rewards):+.2f} loss {np.mean(losses):.4f}")

    caught = 0
    for _ in range(200):
        s, done = env.reset(), False
        while not done:
            s, r, done = env.step(agent.act(s, 0.0))
        caught += r > 0
    print(f"greedy: caught {caught} of 200")


if __name__ == "__main__":
    main()
