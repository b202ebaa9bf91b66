"""Trains, stops in the middle, starts again from its checkpoint: what comes out must be what one go gives."""

import argparse
import copy
import os
import pickle
import random

import numpy as np
import torch
from fingerprint import fingerprint, leave
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 10), nn.BatchNorm1d(10), nn.ELU(), nn.Dropout(0.1))
        self.head = nn.Linear(10, 2)

    def forward(self, x):
        return self.head(self.body(x))


def build(seed):
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    return net, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)


def train(net, optimizer, scheduler, start, end):
    for step in range(start, end):
        x = torch.randn(16, 5) + random.random() + np.random.rand()
        loss = nn.functional.cross_entropy(net(x.float()), (x.sum(1) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        print("step", step, repr(loss.item()))


def save(path, net, optimizer, scheduler, step):
    state = {
        "net": net.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "step": step,
        "rng": (random.getstate(), np.random.get_state(), torch.get_rng_state()),
    }  # fmt: skip
    torch.save(state, path + ".tmp")
    os.replace(path + ".tmp", path)


def load(path, net, optimizer, scheduler):
    state = torch.load(path, weights_only=False)
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    random.setstate(state["rng"][0])
    np.random.set_state(state["rng"][1])
    torch.set_rng_state(state["rng"][2])
    return state["step"]


parser = argparse.ArgumentParser()
parser.add_argument("--resume", default="")
parser.add_argument("--steps", type=int, default=12)
args = parser.parse_args()
random.seed(1)
np.random.seed(1)
first = build(4)
if args.resume and os.path.exists(args.resume):
    start = load(args.resume, *first)
else:
    start = 0
train(*first, start, args.steps // 2)
save("checkpoint.pt", *first, args.steps // 2)
with open("whole.pkl", "wb") as f:
    pickle.dump((first[0], first[1]), f)
twin = copy.deepcopy(first[0])
train(*first, args.steps // 2, args.steps)
in_one_go = fingerprint(first[0], first[1])
del first

second = build(99)
train(*second, load("checkpoint.pt", *second), args.steps)
print("same", fingerprint(second[0], second[1]) == in_one_go)
with open("whole.pkl", "rb") as f:
    net, optimizer = pickle.load(f)
print("pickled", all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), twin.state_dict().values())))
print(sorted(vars(net)), len(net._forward_hooks), len(optimizer._optimizer_step_pre_hooks))
optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
leave(second[0], second[1], net)
