"""Trainings in several threads: one is followed, none is disturbed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from tests.trainings import data, facts, fault_parts, mlp, readings, step, tracked

STORM = """
import sys, threading
import torch
from tests.trainings import data, mlp, step, tracked
torch.set_num_threads(1)
def train(seed):
    model, (x, y) = mlp(seed=seed), data(seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(60):
        step(model, optimizer, x, y)
sys.setswitchinterval(1e-5)
with tracked():
    for _ in range(8):
        threads = [threading.Thread(target=train, args=(seed,)) for seed in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
print("all done")
"""


def train(n: int, seed: int = 0) -> None:
    """Trains a model of its own."""
    model, (x, y) = mlp(seed=seed), data(seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(n):
        step(model, optimizer, x, y)


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def test_what_trains_beside_the_thread_that_is_followed_is_left_alone_and_said_to_be():
    with tracked() as run:
        train(3)
        in_thread(train, 5, 1)
        train(2)

    assert [at for at, _ in readings(run, "loss")] == [0, 1, 2, 3, 4]
    assert "followed" in facts(run, "unseen")[-1]["threads"]
    assert fault_parts(run) == []


def test_threads_that_train_one_after_the_other_are_followed_in_turn():
    with tracked() as run:
        in_thread(train, 3)
        in_thread(train, 4, 1)

    assert [at for at, _ in readings(run, "loss")] == [0, 1, 2, 3, 4, 5, 6]
    assert not any("threads" in fact for fact in facts(run, "unseen"))


def test_a_thread_that_only_looks_is_not_the_one_that_is_followed():
    with tracked() as run:
        in_thread(lambda: torch.optim.SGD(mlp().parameters(), 0.1).zero_grad())
        train(3)

    assert [at for at, _ in readings(run, "loss")] == [0, 1, 2]


@pytest.mark.slow
def test_a_storm_of_threads_that_train_survives_being_observed(root):
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", STORM], cwd=root, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "all done\n"
