"""Leaves its folder, redirects its output, traces and profiles itself while it trains."""

import builtins
import contextlib
import io
import os
import sys
import tempfile

import torch
from fingerprint import leave
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 6), nn.SELU(), nn.Linear(6, 1))
optimizer = torch.optim.Adam(model.parameters(), 1e-2)


def step():
    x = torch.randn(8, 3)
    loss = nn.functional.mse_loss(model(x), x.prod(1, keepdim=True))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return repr(loss.item())


here = os.getcwd()
print("path", sys.path[0] == here, sys.argv[1:], __name__, os.path.basename(__file__), __spec__)
print("main", sys.modules["__main__"].step is step, sys.flags.hash_randomization, len(sys.orig_argv))
with tempfile.TemporaryDirectory() as elsewhere:
    os.chdir(elsewhere)
    print("elsewhere", [step() for _ in range(3)], os.listdir("."))
    os.chdir(here)
buffer = io.StringIO()
with contextlib.redirect_stdout(buffer), contextlib.redirect_stderr(buffer):
    print("captured", step())
    print("captured too", step(), file=sys.stderr)
print(buffer.getvalue().splitlines())
saved = os.dup(1)
with open("all_output.txt", "w") as f:
    sys.stdout.flush()
    os.dup2(f.fileno(), 1)
    print("in the file", step())
    os.system("echo from a shell")
    sys.stdout.flush()
    os.dup2(saved, 1)
os.close(saved)
lines = []


def tracer(frame, event, arg):
    if frame.f_code is step.__code__:
        lines.append((event, frame.f_lineno - step.__code__.co_firstlineno))
        return tracer
    return None


sys.settrace(tracer)
print("traced", step())
print("tracing", sys.gettrace() is tracer)
sys.settrace(None)
print(lines)
names = set()
sys.setprofile(lambda frame, event, arg: names.add(frame.f_code.co_filename) if "scripts" in str(frame) else None)
print("profiled", step(), sys.getprofile() is not None)
sys.setprofile(None)
os.environ["TOKEN"] = "changed"
old, sys.stdout = sys.stdout, io.StringIO()
step()
sys.stdout = old
sys.argv = ["something else"]
step()
del sys.modules["contextlib"], os.environ["TOKEN"]
builtin_print, said = print, []
builtins.print = lambda *a, **k: said.append(a)
print("swallowed", step())
builtins.print = builtin_print
print(len(said), said[0][0])
leave(model)
sys.stdout.flush()
sys.stdout.close()
os.close(1)
step()
