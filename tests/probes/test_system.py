"""Waiting, memory, the longest step, and graphs that are kept."""

import gc

import pytest
import torch

from tests.trainings import data, facts, fault_parts, loader, mlp, readings, step, tracked
from tracker.probes import system

CLEAR = "retained-graphs"


class Slow(torch.utils.data.Dataset):
    """Four samples a millisecond."""

    def __init__(self, clock):
        self.x, self.y = data(24)
        self.clock = clock

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        self.clock.now += 0.25
        return self.x[index], self.y[index]


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of the probe; a batch of eight slow samples takes two of its seconds, a step one."""
    clock = Clock()
    monkeypatch.setattr(system, "perf_counter", clock)
    return clock


def train(clock, batches, model=None, epochs=3):
    model = model or mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(epochs):
        for x, y in batches:
            step(model, optimizer, x, y)
            clock.now += 1.0
        with torch.no_grad():
            model(x)


def test_the_share_of_the_time_in_which_a_loader_was_waited_for(clock):
    with tracked() as run:
        train(clock, torch.utils.data.DataLoader(Slow(clock), 8))
    shares = [share for _, share in readings(run, "wait/data")]

    # Three batches of 2 s; the last step ends before its second is over: 6 of 8 s.
    assert shares == pytest.approx([0.75] * len(shares))
    assert len(shares) >= 2
    assert not fault_parts(run)


def test_what_else_the_loop_does_is_not_waiting(clock):
    with tracked() as run:
        train(clock, loader())

    assert {share for _, share in readings(run, "wait/data")} == {0.0}


def test_without_a_loader_nobody_waits(clock):
    with tracked() as run:
        train(clock, [data(8)] * 3)

    assert readings(run, "wait/data") == []


def test_the_longest_step_is_that_of_a_plain_step(clock):
    with tracked() as run:
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for number in range(60):
            step(model, optimizer, *data(8))
            # A step that is looked at closely and the one behind it are left out: 50 is one.
            clock.now += {44: 7.0, 50: 30.0}.get(number, 1.0)
    ((_, longest),) = readings(run, "step_seconds/longest")

    assert longest == 7.0


def test_the_memory_of_the_process_is_read_now_and_then(clock):
    with tracked() as run:
        train(clock, loader(), epochs=4)
    memory = [value for _, value in readings(run, "memory", "process")]

    assert len(memory) >= 3
    assert all(2**24 < value < 2**38 for value in memory)


def test_short_epochs_do_not_read_it_each(clock):
    with tracked() as run:
        for _ in range(3):
            train(Clock(), loader(), epochs=3)

    assert len(readings(run, "memory", "process")) == 1


def test_what_kernels_could_be_used_is_told_at_the_end(clock):
    with tracked() as run:
        train(clock, loader())

    assert facts(run, "determinism") == [{"cuda": False}]


def kept(keep, epochs=6):
    """Trains, with `keep(loss, epoch)` after each step; the shares of graphs of earlier epochs that are still there."""
    with tracked() as run:
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for epoch in range(epochs):
            for x, y in loader(96):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                keep(loss, epoch)
    held, marked = readings(run, "graphs/held"), readings(run, "graphs/marked")

    assert len(held) == len(marked) >= 3
    assert not fault_parts(run)
    said = run.verdict["findings"], run.verdict["clear"]
    status = "fired" if any(one["rule"] == "retained-graphs" for one in said[0]) else "silent"
    return [a / b for (_, a), (_, b) in zip(held, marked, strict=True)], "clear" if CLEAR in said[1] else status


def test_graphs_of_losses_in_a_list_are_all_there():
    losses = []

    assert kept(lambda loss, epoch: losses.append(loss)) == ([1.0] * 4, "fired")


def test_graphs_behind_a_running_total_are_all_there():
    total = [torch.zeros(())]

    def keep(loss, epoch):
        total[0] = total[0] + loss

    assert kept(keep)[1] == "fired"


def test_a_total_that_begins_anew_in_each_epoch_is_not_counted():
    total = {}

    def keep(loss, epoch):
        before = total.get(epoch, 0.0)
        total.clear()
        total[epoch] = before + loss

    assert kept(keep) == ([0.0] * 4, "clear")


@pytest.mark.parametrize("keep", [lambda loss, epoch: loss.item(), lambda loss, epoch: KEPT.append(loss.detach())])
def test_numbers_and_detached_losses_hold_no_graph(keep):
    assert kept(keep) == ([0.0] * 4, "clear")


KEPT: list[torch.Tensor] = []


@pytest.mark.parametrize(("is_kept", "has_grad", "held"), [(True, True, 12), (False, True, 0), (True, False, None)])
def test_graphs_of_outputs_that_evaluations_keep_are_there(is_kept, has_grad, held):
    outputs = []
    with tracked() as run:
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(6):
            for x, y in loader(96):
                step(model, optimizer, x, y)
            model.eval()
            for x, _ in loader(24):
                with torch.set_grad_enabled(has_grad):
                    output = model(x)
                if is_kept:
                    outputs.append(output)
            model.train()

    assert fault_parts(run) == []
    found = readings(run, "graphs/held", "evaluation")
    assert (found[-1][1] if found else None) == held


def test_a_graph_that_is_made_once_and_used_in_each_step_is_one():
    with tracked() as run:
        weight = torch.nn.Parameter(torch.ones(4))
        optimizer = torch.optim.SGD([weight], 0.01)
        scaled = (2 * weight).sin()
        for epoch in range(6):
            for x in torch.ones(12, 4):
                optimizer.zero_grad()
                (scaled * x).sum().backward(retain_graph=True)
                optimizer.step()
            run.log(val_loss=1.0 - 0.1 * epoch)
    marked = [value for _, value in readings(run, "graphs/marked")]

    assert marked
    assert set(marked) == {1.0}


def test_the_mark_holds_no_graph_itself():
    model = mlp()
    with tracked():
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        loss = torch.nn.functional.cross_entropy(model(data(8)[0]), data(8)[1])
        loss.backward()
        optimizer.step()
        del loss
        alive = [o for o in gc.get_objects() if type(o).__name__ == "_Mark"]

    assert alive == []
