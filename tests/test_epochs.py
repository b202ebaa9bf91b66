"""Epochs end where the training's own structure says so."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import data, events, loader, mlp, step, tracked
from tracker.epochs import STEPS, EpochClock


class Loop:
    """A model and its optimizer; `each` trains on what it is given."""

    def __init__(self):
        self.model = mlp()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)

    def each(self, batches):
        for x, y in batches:
            step(self.model, self.optimizer, x, y)

    def evaluate(self, batches):
        with torch.no_grad():
            return sum(self.model(x).sum().item() for x, _ in batches)


def epochs_of(run):
    """(first step, last step) of each epoch, and where they were told from."""
    found = events(run, "epoch")
    assert [event.data["epoch"] for event in found] == list(range(len(found)))
    assert all(event.step == event.data["last_step"] for event in found)
    return [(e.data["first_step"], e.data["last_step"]) for e in found], {e.data["source"] for e in found[:-1]}


def test_a_loader_that_starts_again_begins_an_epoch():
    loop, train, val = Loop(), loader(24, 8, shuffle=True), loader(16, 8)
    with tracked() as run:
        for _ in range(4):
            loop.each(train)
            loop.evaluate(val)

    assert epochs_of(run) == ([(0, 2), (3, 5), (6, 8), (9, 11)], {"loader"})


def test_metrics_logged_after_the_validation_belong_to_the_epoch_before():
    loop, train = Loop(), loader()
    with tracked() as run:
        for epoch in range(3):
            loop.each(train)
            run.log(val_loss=float(epoch))
    from tests.trainings import records
    from tracker.rules.engine.records import Event, Reading

    order = [
        r.value if isinstance(r, Reading) else "end"
        for r in records(run)
        if (isinstance(r, Event) and r.name == "epoch") or (isinstance(r, Reading) and r.signal == "metric")
    ]
    assert order == [0.0, "end", 1.0, "end", 2.0, "end"]


def test_a_loader_that_is_left_early_begins_an_epoch_too():
    loop, train = Loop(), loader(40, 8)
    with tracked() as run:
        for _ in range(3):
            for number, (x, y) in enumerate(train):
                if number == 2:
                    break
                step(loop.model, loop.optimizer, x, y)

    assert epochs_of(run) == ([(0, 1), (2, 3), (4, 5)], {"loader"})


def test_two_loaders_side_by_side_make_one_epoch_a_pass():
    loop, short, long = Loop(), loader(16, 8), loader(40, 8)
    with tracked() as run:
        for _ in range(3):
            for (x, y), (x2, y2) in zip(short, long, strict=False):
                step(loop.model, loop.optimizer, torch.cat([x, x2]), torch.cat([y, y2]))

    assert epochs_of(run) == ([(0, 1), (2, 3), (4, 5)], {"loader"})


@pytest.mark.parametrize("same_data", [False, True])
def test_a_validation_in_the_middle_begins_no_epoch(same_data):
    loop, train = Loop(), loader(32, 8)
    val = DataLoader(train.dataset, 16) if same_data else loader(16, 8)
    with tracked() as run:
        for _ in range(2):
            for number, (x, y) in enumerate(train):
                step(loop.model, loop.optimizer, x, y)
                if number % 2:
                    for inputs, _ in val:
                        loop.model(inputs).detach()

    assert epochs_of(run) == ([(0, 3), (4, 7)], {"loader"})


def test_a_loader_made_anew_for_each_epoch_begins_it():
    loop, (x, y) = Loop(), data(24)
    with tracked() as run:
        for _ in range(3):
            loop.each(DataLoader(TensorDataset(x, y), 8))

    assert epochs_of(run) == ([(0, 2), (3, 5), (6, 8)], {"loader"})


def test_data_made_anew_for_each_epoch_begins_it():
    loop, kept = Loop(), []
    with tracked() as run:
        for epoch in range(3):
            dataset = TensorDataset(*data(24, seed=epoch))
            kept.append(dataset)  # or the next one may live at its address
            loop.each(DataLoader(dataset, 8))

    assert epochs_of(run) == ([(0, 2), (3, 5), (6, 8)], {"loader"})


def test_two_loaders_in_turn_are_one_epoch():
    loop, one, two = Loop(), loader(16, 8), loader(24, 8)
    with tracked() as run:
        for _ in range(2):
            others = iter(two)
            for x, y in one:
                step(loop.model, loop.optimizer, x, y)
                step(loop.model, loop.optimizer, *next(others))

    assert epochs_of(run) == ([(0, 3), (4, 7)], {"loader"})


@pytest.mark.slow
def test_workers_that_persist_begin_an_epoch_with_each_pass():
    loop, train = Loop(), loader(24, 8, num_workers=1, persistent_workers=True)
    with tracked() as run:
        for _ in range(3):
            loop.each(train)

    assert epochs_of(run) == ([(0, 2), (3, 5), (6, 8)], {"loader"})


def test_a_metric_tells_epochs_where_there_is_no_loader():
    loop, (x, y) = Loop(), data()
    with tracked() as run:
        for _ in range(3):
            loop.each([(x, y)] * 4)
            run.log(val_loss=0.5, val_acc=0.5)

    assert epochs_of(run) == ([(0, 3), (4, 7), (8, 11)], {"metric"})


def test_a_metric_logged_at_each_step_tells_no_epoch():
    loop, (x, y) = Loop(), data()
    with tracked() as run:
        for _ in range(6):
            loop.each([(x, y)])
            run.log(loss=0.5)

    assert epochs_of(run) == ([(0, 5)], set())


def test_validation_from_a_loader_does_not_take_the_place_of_a_metric():
    loop, (x, y), val = Loop(), data(), loader(16, 8)
    with tracked() as run:
        for _ in range(3):
            loop.each([(x, y)] * 4)
            run.log(val_loss=loop.evaluate(val))

    assert epochs_of(run) == ([(0, 3), (4, 7), (8, 11)], {"metric"})


def test_without_loader_and_metric_a_number_of_steps_is_an_epoch():
    loop, (x, y) = Loop(), data(8)
    with tracked() as run:
        loop.each([(x, y)] * (2 * STEPS + 5))

    assert epochs_of(run) == ([(0, STEPS - 1), (STEPS, 2 * STEPS - 1), (2 * STEPS, 2 * STEPS + 4)], {"steps"})


def test_told_epochs_stand_before_the_loader():
    loop, train = Loop(), loader()
    with tracked() as run:
        for epoch in run.epochs(2):
            loop.each(train)
            loop.each(train)
            assert epoch == len(events(run, "epoch"))

    assert epochs_of(run) == ([(0, 5), (6, 11)], {"told"})


def test_run_epoch_ends_the_epoch_there():
    loop, (x, y) = Loop(), data()
    with tracked() as run:
        for _ in range(3):
            loop.each([(x, y)] * 2)
            run.epoch()

    assert epochs_of(run) == ([(0, 1), (2, 3), (4, 5)], {"told"})


def test_a_batch_that_is_only_looked_at_begins_nothing():
    loop, train = Loop(), loader()
    with tracked() as run:
        next(iter(train))
        for _ in range(2):
            loop.each(train)

    assert epochs_of(run) == ([(0, 2), (3, 5)], {"loader"})


def test_a_pass_without_a_step_is_no_epoch():
    clock = EpochClock()
    clock.note_batch(1, 1)
    first = clock.is_boundary(0)
    clock.note_batch(1, 2)

    assert not first
    assert not clock.is_boundary(0)


def test_the_source_that_told_first_is_kept():
    clock = EpochClock()
    clock.note_metric(5)
    assert clock.is_boundary(5)
    clock.advance(5)
    clock.note_batch(1, 1)
    assert not clock.is_boundary(7)
    clock.note_batch(1, 2)

    assert not clock.is_boundary(9)
    assert clock.source == "metric"
