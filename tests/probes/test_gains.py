"""What a script counts while a loader goes over data is read behind the last batch, as far as it can be told."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import data, fault_parts, mlp, readings, step, subjects, tracked

SAMPLES, BATCH = 48, 8


def fit(evaluate, train=None, epochs=4):
    """Trains and evaluates; the run, and what `evaluate` returned."""
    model, found = mlp(), []
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    loaders = [DataLoader(TensorDataset(*data(SAMPLES, seed=seed)), BATCH) for seed in (0, 1)]

    def plain(model, optimizer, loader):
        for x, y in loader:
            step(model, optimizer, x, y)

    with tracked() as run:
        for _ in range(epochs):
            (train or plain)(model, optimizer, loaders[0])
            if evaluate is not None:
                with torch.no_grad():
                    found.append(evaluate(model, loaders[1]))

    assert not fault_parts(run)
    return run, found


def by_count(model, loader):
    correct, total = 0, 0
    for x, y in loader:
        correct += (model(x).argmax(1) == y).sum().item()
        total += len(y)
    return correct / total


def by_tensor(model, loader):
    correct = torch.zeros(())
    for x, y in loader:
        correct += (model(x).argmax(1) == y).float().sum()
    return (correct / SAMPLES).item()


class Meter:
    def __init__(self):
        self.sum = self.count = 0.0

    def update(self, value, n):
        self.sum += value * n
        self.count += n


def by_meter(model, loader):
    accs = Meter()
    for x, y in loader:
        accs.update((model(x).argmax(1) == y).float().mean().item(), len(y))
    return accs.sum / accs.count


class Judge:
    def by_attribute(self, model, loader):
        self.n_right = 0
        for x, y in loader:
            self.n_right += int((model(x).argmax(1) == y).sum())
        return self.n_right / SAMPLES


def by_dictionary(model, loader):
    stats = {"correct": 0, "seen": 0}
    for x, y in loader:
        stats["correct"] += (model(x).argmax(1) == y).sum().item()
        stats["seen"] += len(y)
    return stats["correct"] / stats["seen"]


@pytest.mark.parametrize(
    ("evaluate", "name"),
    [
        (by_count, "correct"),
        (by_tensor, "correct"),
        (by_meter, "accs.sum"),
        (by_dictionary, "stats.correct"),
        (Judge().by_attribute, "self.n_right"),
    ],
)
def test_what_is_counted_and_only_returned_is_told_for_each_sample(evaluate, name):
    run, found = fit(evaluate)
    told = readings(run, "score/sample", f"val/{name}")

    assert [value for _, value in told] == pytest.approx(found)
    assert [at for at, _ in told] == [at for at, _ in readings(run, "accuracy/val")]
    assert [value for _, value in told] == pytest.approx([value for _, value in readings(run, "accuracy/val")])
    assert subjects(run, "score/sample") == {f"val/{name}"}


def test_accuracies_of_the_batches_are_told_for_each_batch():
    def evaluate(model, loader):
        accs = []
        for x, y in loader:
            accs.append((model(x).argmax(1) == y).float().mean().item())
        return sum(accs) / len(accs)

    run, found = fit(evaluate)

    assert [value for _, value in readings(run, "score/batch", "val/accs")] == pytest.approx(found)


def test_a_sum_of_shares_of_all_samples_is_told_as_it_is():
    def evaluate(model, loader):
        acc = 0.0
        for x, y in loader:
            acc += (model(x).argmax(1) == y).sum().item() / SAMPLES
        return acc

    run, found = fit(evaluate)

    assert [value for _, value in readings(run, "score/sum", "val/acc")] == pytest.approx(found)


def test_hits_among_the_answers_that_the_model_is_sure_of_are_not_told():
    def evaluate(model, loader):
        correct = covered = 0
        for x, y in loader:
            sure = x[:, 0] > 0
            covered += int(sure.sum())
            correct += int((model(x).argmax(1) == y)[sure].sum())
        return correct / covered

    assert subjects(fit(evaluate)[0], "score/sample") == set()


def test_a_counter_of_another_loop_is_not_told():
    def evaluate(model, loader):
        correct = 0
        outputs = [model(x) for x, y in loader]
        for x, _ in loader:
            outputs.append(model(x))
        for output in outputs:
            correct += int(output.argmax() == 0)
        return correct

    assert subjects(fit(evaluate)[0], "score/sample") == set()


def test_nothing_right_at_all_is_told():
    def evaluate(model, loader):
        correct = 0
        for x, y in loader:
            correct += (model(x)[:, 0] == y).sum().item()
        return correct

    assert [value for _, value in readings(fit(evaluate)[0], "score/sample", "val/correct")] == [0.0] * 4


def test_a_number_of_batches_is_none_of_fewer_samples():
    def evaluate(model, loader):
        correct = n_batches = 0
        for x, y in loader:
            n_batches += 1
            correct += (model(x)[:, 0] == y).sum().item()
        return correct / n_batches

    assert [value for _, value in readings(fit(evaluate)[0], "score/sample", "val/correct")] == [0.0] * 4


def test_the_answers_of_several_models_in_one_loop_are_not_told():
    def evaluate(model, loader):
        models, correct = [model, copy.deepcopy(model)], 0
        for x, y in loader:
            correct += (sum(one(x) for one in models).argmax(1) == y).sum().item()
        return correct

    assert subjects(fit(evaluate)[0], "score/sample") == set()


def plain_train(model, optimizer, loader):
    correct = total = 0
    for x, y in loader:
        correct += (model(x).argmax(1) == y).sum().item()
        total += len(y)
        step(model, optimizer, x, y)


def train_that_resets(model, optimizer, loader):
    correct = total = 0
    for at, (x, y) in enumerate(loader):
        correct += (model(x).argmax(1) == y).sum().item()
        total += len(y)
        step(model, optimizer, x, y)
        if at == 2:
            correct = 0


def train_without_a_total(model, optimizer, loader):
    correct = 0
    for x, y in loader:
        correct += (model(x).argmax(1) == y).sum().item()
        step(model, optimizer, x, y)


@pytest.mark.parametrize(
    ("train", "steps"), [(plain_train, [11, 17, 23]), (train_that_resets, []), (train_without_a_total, [])]
)
def test_in_training_only_what_was_counted_beside_all_samples_and_not_reset_is_told(train, steps):
    run, _ = fit(None, train)

    # Nothing is known of the first pass but behind it: by then it is learned what the loss is made of.
    assert [at for at, _ in readings(run, "score/sample", "train/correct")] == steps
    assert subjects(run, "score/sample") == ({"train/correct"} if steps else set())


def test_nothing_of_the_frame_that_counts_is_kept_alive():
    kept = []

    def evaluate(model, loader):
        found = by_count(model, loader)
        hits = torch.zeros(4)
        for x, _ in loader:
            hits += model(x).detach().sum()
        kept.append(weakref.ref(hits))
        return found

    gc.disable()
    try:
        run, _ = fit(evaluate)
        alive = [ref() for ref in kept]
    finally:
        gc.enable()

    assert alive == [None] * 4
    assert subjects(run, "score/sample") == {"val/correct"}
