"""Nothing of the user's is kept alive: no graph, no parameter, no loader, no local variable."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import pytest
import torch
from torch.nn import functional

from tests.trainings import data, loader, mlp, step, tracked
from tracker import frames


@pytest.fixture
def no_collector():
    """Reference counts alone must free everything: a cycle through our objects would hide in the collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_no_graph_is_kept_after_a_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    kept = []

    def train(scaled):
        optimizer.zero_grad()
        outputs = model(x)
        kept.append(weakref.ref(outputs))
        loss = functional.cross_entropy(outputs, y, weight=torch.ones(3))
        kept.append(weakref.ref(loss))
        (scaler.scale(loss) if scaled else loss).backward()
        optimizer.step()

    with tracked():
        for number in range(12):
            train(number % 2)
            assert [ref() for ref in kept] == [None] * len(kept)


@pytest.mark.usefixtures("no_collector")
def test_no_output_of_a_layer_is_kept_after_a_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    kept = []
    for layer in model:
        layer.register_forward_hook(lambda module, args, output: kept.append(weakref.ref(output)))

    with tracked() as run:
        for _ in range(12):
            kept.clear()
            step(model, optimizer, x, y)
            assert [ref() for ref in kept] == [None] * 3
        for _ in range(2):
            kept.clear()
            model.eval()
            with torch.no_grad():
                functional.cross_entropy(model(x), y)
            model.train()
            assert [ref() for ref in kept] == [None] * 3
            step(model, optimizer, x, y)

    assert run._session.guard.off == {}


@pytest.mark.usefixtures("no_collector")
def test_no_batch_is_kept_once_the_next_is_drawn():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    kept = []
    with tracked() as run:
        for _ in range(4):
            for x, y in loader():
                alive = [ref() for ref in kept[:-2]]
                kept += [weakref.ref(x), weakref.ref(y)]
                step(model, optimizer, x, y)
                assert alive == [None] * len(alive)
            del x, y
        alive = [ref() for ref in kept]

    assert alive == [None] * 24
    assert run._session.guard.off == {}


def test_what_the_observer_keeps_does_not_grow_with_the_steps():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    # Not the past that rules see: it is bounded as well, but at some thousand points of each curve.
    ours = [tracemalloc.Filter(True, f"*/tracker/{part}") for part in ("probes/*", "epochs.py", "session.py")]

    def least(steps):
        # What is kept from one step to the next depends on what the next one is to be looked at for.
        found = []
        gc.collect()
        for number in range(steps):
            step(model, optimizer, x, y)
            if number % 5 == 4:
                snapshot = tracemalloc.take_snapshot().filter_traces(ours)
                found.append(sum(one.size for one in snapshot.statistics("filename")))
        return min(found)

    with tracked() as run:
        # Some places are filled only by steps of a rare kind, and those become rarer.
        for _ in range(400):
            step(model, optimizer, x, y)
        tracemalloc.start()
        try:
            for _ in range(200):
                step(model, optimizer, x, y)
            before = least(30)
            # To the same place in an epoch of 100 steps: answers wait for its end.
            for _ in range(670):
                step(model, optimizer, x, y)
            # What grows is larger at every later moment; what is held for a while differs from one to the next.
            after = least(30)
            for _ in range(3):
                for _ in range(70):
                    step(model, optimizer, x, y)
                after = min(after, least(30))
        finally:
            tracemalloc.stop()

    # A list with one entry for each of the 670 steps in between has 5,360 bytes at least.
    assert after - before < 3_000
    assert run._session.guard.off == {}


@pytest.mark.usefixtures("no_collector")
def test_a_model_that_is_deleted_in_the_block_is_freed():
    with tracked() as run:
        model, (x, y) = mlp(), data()
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        for _ in range(12):
            step(model, optimizer, x, y)
        kept = [weakref.ref(p) for p in model.parameters()]
        # Their own hooks hold an optimizer in a cycle: the collector is needed for it, with us and without.
        del model, optimizer
        gc.collect()
        alive = [ref() for ref in kept]
        run.epoch()

    assert alive == [None] * 4
    assert run._session.guard.off == {}


@pytest.mark.usefixtures("no_collector")
def test_a_loader_is_freed_with_its_pass():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked():
        iterator = iter(loader())
        kept = [weakref.ref(iterator), weakref.ref(iterator._dataset)]
        for x, y in iterator:
            step(model, optimizer, x, y)
        del iterator, x, y
        alive = [ref() for ref in kept]

    assert alive == [None, None]


class Thing:
    """Something that a weak reference can point at."""


@pytest.mark.usefixtures("no_collector")
def test_local_variables_are_not_kept_by_looking_at_them():
    thing = Thing()
    kept = weakref.ref(thing)
    found = frames.variables(sys._getframe())
    seen = found["thing"] is thing
    del found, thing

    assert seen
    assert kept() is None


def test_a_dictionary_from_locals_is_left_as_it_is():
    def train():
        depth = 3
        settings = locals()
        before = dict(settings)
        model, (x, y) = mlp(), data()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with tracked() as run:
            for _ in range(2):
                step(model, optimizer, x, y)
        return settings, before, run, depth

    settings, before, run, _ = train()

    assert settings == before == {"depth": 3}
    assert run._session.step == 2


def test_functions_that_call_locals_are_told_from_those_that_do_not():
    def yes_1():
        return locals()

    def yes_2(x):
        return [vars(), x]

    def no_1(model):
        return model.eval(), vars(model), model.locals

    assert [frames._calls_locals(f.__code__) for f in (yes_1, yes_2, no_1)] == [True, True, False]


@pytest.mark.usefixtures("no_collector")
def test_a_run_that_is_over_is_freed():
    with tracked() as run:
        model, (x, y) = mlp(), data()
        step(model, torch.optim.SGD(model.parameters(), 0.1), x, y)
    kept = weakref.ref(run._session.judging._trace)
    del run
    gc.collect()

    assert kept() is None
