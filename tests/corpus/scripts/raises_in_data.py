"""Errors that ordinary programs make: in a loader, in a forward, in a step, and the tracebacks they print."""

import sys
import traceback

import torch
from fingerprint import leave
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Broken(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        if i == 9:
            raise ValueError(f"corrupt image {i}")
        return torch.full((3,), float(i)), i % 2


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for workers in (0, 1):
    try:
        for x, y in DataLoader(Broken(), 2, num_workers=workers):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(repr(loss.item()))
    except ValueError as error:
        print("caught", type(error).__name__, str(error).splitlines()[-1])
for wrong in (torch.randn(2, 5), torch.zeros(2, 3, dtype=torch.long)):
    try:
        model(wrong)
    except RuntimeError as error:
        print("caught", str(error).splitlines()[0])
try:
    (loss * 1).backward()
    loss.backward()
except RuntimeError as error:
    print("caught", str(error)[:60])
try:
    optimizer.step(lambda: 1 / 0)
except ZeroDivisionError:
    print("caught", [f.name for f in traceback.extract_tb(sys.exc_info()[2])][-1])
try:
    torch.optim.SGD(model.parameters(), lr=-1)
except ValueError as error:
    print("caught", error)
leave(model)
model(torch.randn(4, 3)).backward()
