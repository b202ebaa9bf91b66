import os
import signal
import sys

import torch
from fingerprint import leave
from torch import nn

torch.manual_seed(0)
model = nn.Linear(5, 5)
optimizer = torch.optim.RMSprop(model.parameters(), 1e-3)
stop = False


def on_usr1(signum, frame):
    global stop
    stop = True
    print("asked to stop at", step, flush=True)


previous = signal.signal(signal.SIGUSR1, on_usr1)
print("before", previous is signal.SIG_DFL, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
for step in range(30):
    x = torch.randn(4, 5)
    loss = (model(x) - x).abs().sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 6:
        os.kill(os.getpid(), signal.SIGUSR1)
    if stop:
        torch.save(model.state_dict(), "interrupted.pt")
        stop = False
    if step == 12:
        signal.signal(signal.SIGTERM, lambda signum, frame: print("terminated, going on", flush=True))
        os.kill(os.getpid(), signal.SIGTERM)
    if step == 16:
        leave(model)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            print("not reached", signal.getsignal(signal.SIGINT), flush=True)
        finally:
            print("cleaning up", file=sys.stderr)
