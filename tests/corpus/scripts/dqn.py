import math
import random
from collections import deque, namedtuple
from itertools import count

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from fingerprint import leave

random.seed(3)
torch.manual_seed(3)
Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))
BATCH_SIZE, GAMMA, EPS_START, EPS_END, EPS_DECAY, TAU, LR = 16, 0.99, 0.9, 0.05, 200, 0.005, 3e-4


class ReplayMemory:
    def __init__(self, capacity):
        self.memory = deque(maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, batch_size):
        return random.sample(self.memory, batch_size)

    def __len__(self):
        return len(self.memory)


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 24)
        self.layer2 = nn.Linear(24, n_actions)

    def forward(self, x):
        return self.layer2(F.relu(self.layer1(x)))


def walk(position, action):
    position = position + (1 if action == 1 else -1) + random.choice([-1, 0, 0, 1])
    return position, (1.0 if position >= 5 else -0.1), position >= 5 or position <= -5


def encode(position):
    return torch.tensor([[position / 5, math.sin(position), math.cos(position)]])


policy_net, target_net = DQN(3, 2), DQN(3, 2)
target_net.load_state_dict(policy_net.state_dict())
optimizer = optim.AdamW(policy_net.parameters(), lr=LR, amsgrad=True)
memory, steps_done, losses = ReplayMemory(200), 0, []


def select_action(state):
    global steps_done
    eps = EPS_END + (EPS_START - EPS_END) * math.exp(-1.0 * steps_done / EPS_DECAY)
    steps_done += 1
    if random.random() > eps:
        with torch.no_grad():
            return policy_net(state).max(1).indices.view(1, 1)
    return torch.tensor([[random.randrange(2)]])


def optimize_model():
    if len(memory) < BATCH_SIZE:
        return
    batch = Transition(*zip(*memory.sample(BATCH_SIZE)))
    mask = torch.tensor([s is not None for s in batch.next_state])
    state_action_values = policy_net(torch.cat(batch.state)).gather(1, torch.cat(batch.action))
    next_values = torch.zeros(BATCH_SIZE)
    with torch.no_grad():
        next_values[mask] = target_net(torch.cat([s for s in batch.next_state if s is not None])).max(1).values
    expected = next_values * GAMMA + torch.cat(batch.reward)
    loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
    optimizer.step()
    losses.append(loss.item())


for _i_episode in range(10):
    position = 0
    state = encode(position)
    for _t in count():
        action = select_action(state)
        position, reward, done = walk(position, action.item())
        next_state = None if done else encode(position)
        memory.push(state, action, next_state, torch.tensor([reward]))
        state = next_state
        optimize_model()
        target = target_net.state_dict()
        for key, value in policy_net.state_dict().items():
            target[key] = value * TAU + target[key] * (1 - TAU)
        target_net.load_state_dict(target)
        if done or _t > 20:
            break
    print("episode", _i_episode, "steps", steps_done, "last loss", losses[-1] if losses else None)
leave(policy_net, target_net, losses)
