"""Scripts that seed nothing, or by the clock, under `tracker run`: done again, every bit is the same."""

import textwrap

import pytest

from tests.reproduce.test_round_trips import comes_back, commit, evidence, fill, project, train  # noqa: F401

COMMAND = ("-c", "import sys; del sys.path[0]; from tracker.cli import main; main()", "run", "train.py")

TRAINING = """
import os, random, secrets, socket, sys, threading, time, uuid
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import numpy as np
import torch

{top}

class Samples(torch.utils.data.Dataset):
    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index] + extra(index)

def fit(shift, **loading):
    data = torch.randn(48, 6) + shift
    net = torch.nn.Linear(6, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    loader = torch.utils.data.DataLoader(Samples(data), batch_size=16, shuffle=True, **loading)
    for epoch in range(2):
        for batch in loader:
            optimizer.zero_grad()
            net(batch).pow(2).mean().backward()
            optimizer.step()

def main():
    torch.set_num_threads(1)
{body}

if __name__ == "__main__":
    main()
"""


def script(body, top="def extra(index):\n    return 0.0"):
    return TRAINING.format(top=textwrap.dedent(top), body=textwrap.indent(textwrap.dedent(body), "    "))


def tracked(folder, source):
    """The run that `tracker run` makes of a script, in a repository where it is committed."""
    fill(folder, train_py=source)
    commit(folder)
    return train(folder, *COMMAND)


ONE_PROCESS = """
clock = time.time_ns() % 2**31
numbers = [random.random(), random.Random().gauss(0, 1), np.random.rand(), np.random.default_rng().random()]
numbers += [np.random.RandomState().rand(), np.random.default_rng(clock).random(), random.Random(clock).random()]
for seed in (random.seed, np.random.seed):
    seed()
    seed(None)
    numbers += [random.random(), np.random.rand()]
random.seed(time.time())
np.random.seed(os.getpid())
numbers += [random.random(), np.random.rand()]
random.seed(uuid.uuid4().int)
np.random.seed(secrets.randbits(32))
numbers += [random.random(), np.random.rand(), len(list({f"name {i}" for i in range(9)})[0])]
numbers += [hash("a") % 97 / 97]
torch.manual_seed(clock)
with torch.random.fork_rng():
    torch.seed()
    numbers.append(torch.rand(1).item())
os.makedirs(f"out-{socket.gethostname()}-{os.getpid()}-{time.time()}")
own = torch.Generator()
own.seed()
fit(sum(numbers), generator=own)
"""

IN_WORKERS = """
def extra(index):
    return random.random() + np.random.rand() + torch.rand(1).item() + np.random.default_rng().random() + (
        random.Random().random()
    )

def begin(worker):
    random.seed()
    np.random.seed()
"""

PROCESSES = """
total = KEPT
for method in ("spawn", "fork"):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
        total += queue.get()
        child.join()
with ProcessPoolExecutor(1) as pool:
    total += sum(pool.map(one_number, range(3)))
fit(total)
"""

WORK = """
KEPT = random.random()
rng = np.random.default_rng()

def one_number(index):
    return random.random() + np.random.default_rng().random()

def work(queue):
    queue.put(KEPT + rng.random() + one_number(0) + np.random.rand() + torch.rand(1).item() + random.Random().random())

def extra(index):
    return 0.0
"""


@pytest.mark.slow
def test_generators_without_a_seed_and_seeds_from_the_clock_come_back(project, capfd, tmp_path):  # noqa: F811
    rundir = tracked(project, script(ONE_PROCESS))

    assert comes_back(capfd, rundir, project, tmp_path / "again")["scope"] == "host"
    assert evidence(rundir)["gaps"] == []


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_the_workers_of_a_loader_draw_without_a_seed_comes_back(method, project, capfd, tmp_path):  # noqa: F811
    loading = f"num_workers=2, worker_init_fn=begin, multiprocessing_context={method!r}, persistent_workers=True"
    rundir = tracked(project, script(f"fit(0.0, {loading})", IN_WORKERS))

    assert comes_back(capfd, rundir, project, tmp_path / "again")["grade"] == "R5"


@pytest.mark.slow
def test_what_other_processes_draw_without_a_seed_comes_back(project, capfd, tmp_path):  # noqa: F811
    rundir = tracked(project, script(PROCESSES, WORK))

    assert comes_back(capfd, rundir, project, tmp_path / "again")["grade"] == "R5"


@pytest.mark.slow
def test_numbers_from_the_system_itself_are_named_as_what_cannot_come_back(project):  # noqa: F811
    rundir = tracked(project, script("fit(random.SystemRandom().random() + len(uuid.uuid4().hex))"))

    told = [gap["what"] for gap in evidence(rundir)["gaps"]]
    assert ["from the system itself (__main__:" in what for what in told] == [True]
