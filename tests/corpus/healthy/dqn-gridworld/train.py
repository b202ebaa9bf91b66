"""DQN with a replay memory and a target network on a 4x4 grid."""

import argparse
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn

Transition = namedtuple("Transition", "state action reward next_state done")
SIZE = 4
MOVES = [(0, 1), (1, 0), (0, -1), (-1, 0)]


class Grid:
    holes = {(1, 1), (3, 1)}

    def reset(self):
        self.pos, self.t = (0, 0), 0
        return self.obs()

    def obs(self):
        x = torch.zeros(2 * SIZE)
        x[self.pos[0]] = 1.0
        x[SIZE + self.pos[1]] = 1.0
        return x

    def step(self, a):
        dx, dy = MOVES[a]
        self.pos = (min(max(self.pos[0] + dx, 0), SIZE - 1), min(max(self.pos[1] + dy, 0), SIZE - 1))
        self.t += 1
        if self.pos in self.holes:
            return self.obs(), -1.0, True
        if self.pos == (SIZE - 1, SIZE - 1):
            return self.obs(), 1.0, True
        return self.obs(), -0.01, self.t >= 24


class DQN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(2 * SIZE, 64)
        self.layer2 = nn.Linear(64, 64)
        self.layer3 = nn.Linear(64, 4)

    def forward(self, x):
        return self.layer3(torch.relu(self.layer2(torch.relu(self.layer1(x)))))


def optimize(policy_net, target_net, memory, optimizer, gamma, batch_size=64):
    if len(memory) < 2 * batch_size:
        return None
    batch = Transition(*zip(*random.sample(memory, batch_size)))
    state, next_state = torch.stack(batch.state), torch.stack(batch.next_state)
    action = torch.tensor(batch.action).unsqueeze(1)
    reward, done = torch.tensor(batch.reward), torch.tensor(batch.done, dtype=torch.float32)
    q = policy_net(state).gather(1, action).squeeze(1)
    with torch.no_grad():
        expected = reward + gamma * (1 - done) * target_net(next_state).max(1).values
    loss = nn.SmoothL1Loss()(q, expected)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
    optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=140)
    parser.add_argument("--gamma", type=float, default=0.97)
    args = parser.parse_args()
    random.seed(args.seed)
    torch.manual_seed(args.seed)

    env, memory = Grid(), deque(maxlen=5000)
    policy_net, target_net = DQN(), DQN()
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = torch.optim.AdamW(policy_net.parameters(), lr=1e-3, amsgrad=True)

    steps, scores = 0, []
    for episode in range(args.episodes):
        state, done, total = env.reset(), False, 0.0
        while not done:
            epsilon = max(0.05, 1.0 - steps / 1500)
            if random.random() < epsilon:
                action = random.randrange(4)
            else:
                with torch.no_grad():
                    action = int(policy_net(state.unsqueeze(0)).argmax())
            next_state, reward, done = env.step(action)
            memory.append(Transition(state, action, reward, next_state, done))
            state, total, steps = next_state, total + reward, steps + 1
            loss = optimize(policy_net, target_net, memory, optimizer, args.gamma)
            if steps % 100 == 0:
                target_net.load_state_dict(policy_net.state_dict())
        scores.append(total)
        if (episode + 1) % 20 == 0:
            print(f"episode {episode + 1}: mean return {sum(scores[-20:]) / 20:+.2f}  loss {loss or 0:.4f}")


main()
