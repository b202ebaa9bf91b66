"""Near twins between training and held-out data: what a sketch keeps, what counts as a twin, and what a run tells."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import torch
from sklearn import datasets
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import facts, fault_parts, mlp, readings, step, tracked
from tracker.probes import digests, twins
from tracker.probes.overlap import Overlap, nowhere
from tracker.probes.sketches import Sketcher
from tracker.rules.data.near_leakage import NearLeakage
from tracker.rules.testing import judge


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


RNG = np.random.default_rng(0)
DIGITS = (datasets.load_digits().images / 16).astype("float32")[:, None]


def split(x, share=0.8):
    order = np.random.default_rng(1).permutation(len(x))
    cut = int(share * len(x))
    return x[order[:cut]].astype("float32"), x[order[cut:]].astype("float32")


def compared(train, held_out, batch=50):
    """The fact `near` for the two arrays."""
    found = twins.Twins()
    for rows, take in ((train, found.train_on), (held_out, lambda part: found.hold_out("val", part))):
        rows = torch.as_tensor(rows)
        for part in rows.split(batch):
            sketched = found.sketch(part, digests.of_samples(part, len(part)), None)
            if sketched is not None:
                take(sketched)
    return found.described()


# -- what a sketch keeps -----------------------------------------------------------------------------------------------


def distances(change):
    """Distances of digits to their changed selves, and of digits to the next one, in sketches."""
    x = torch.as_tensor(DIGITS[:400])
    sketcher = Sketcher()
    one, other = sketcher.of_samples(x), sketcher.of_samples(change(x))
    return np.linalg.norm(one - other, axis=1), np.linalg.norm(one - np.roll(one, 1, 0), axis=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + 0.02 * torch.randn(x.shape),
        lambda x: x * 0.7 + 0.2,
        lambda x: (x * 12).round() / 12,
        lambda x: (255 * x).to(torch.uint8),
        lambda x: x.half(),
    ],
    ids=["noise", "brightness", "coarser", "bytes", "halves"],
)
def test_a_small_change_of_a_sample_changes_its_sketch_little(change):
    own, others = distances(change)

    assert np.median(own) < 0.1 * np.median(others)


def test_large_images_are_sketched_by_a_fraction_of_their_pixels():
    images = torch.rand(16, 3, 224, 224)
    sketches = Sketcher().of_samples(images)

    assert sketches.shape == (16, 64)
    assert np.linalg.norm(sketches, axis=1) == pytest.approx(np.ones(16), rel=0.5)


def test_what_cannot_be_compared_is_left_out():
    x = torch.as_tensor(DIGITS[:20]).clone()
    x[3], x[5, 0, 0, 0] = 0.25, float("nan")
    sketches = Sketcher().of_samples(x)

    assert np.isnan(sketches).all(1).nonzero()[0].tolist() == [3, 5]


def test_token_ids_are_not_covered_and_that_is_said():
    tokens = torch.randint(0, 1000, (300, 16)).numpy()
    assert "token ids" in compared(tokens, tokens[:50] + 1)["why"]


def test_no_generator_of_the_users_is_drawn_from():
    before = (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())
    compared(*split(np.random.default_rng(3).standard_normal((300, 200))))

    assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()) == before


# -- what counts as a twin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_dimension_of_data_is_estimated(dimension):
    found = compared(*split(np.random.default_rng(2).random((1500, dimension))))

    assert found["dimension"] == pytest.approx(dimension, rel=0.2)


def one_hot(n=1500):
    rng = np.random.default_rng(5)
    parts = [np.eye(k)[rng.integers(0, k, n)] for k in (2, 3, 5, 12, 7)]
    return np.concatenate(parts, 1)


def windows(series, width=48, stride=1):
    return np.stack([series[at : at + width] for at in range(0, len(series) - width, stride)])[..., None]


TIMES = np.arange(1500)
SERIES = {
    "waves": np.sin(TIMES / 10) * (1 + 0.3 * np.sin(TIMES / 170)),
    "noisy waves": np.sin(TIMES / 10) + 0.1 * np.random.default_rng(4).standard_normal(1500),
    "walk": np.cumsum(np.random.default_rng(4).standard_normal(1500)),
}


def by_time(x):
    return x[: int(0.8 * len(x))].astype("float32"), x[int(0.8 * len(x)) :].astype("float32")


HEALTHY = {
    "digits": split(DIGITS),
    "flat digits": split(DIGITS.reshape(len(DIGITS), -1)),
    "noisy digits in training": (split(DIGITS)[0] + 0.3 * RNG.standard_normal((1437, 1, 8, 8)), split(DIGITS)[1]),
    "iris": split(datasets.load_iris().data),
    "wine": split(datasets.load_wine().data),
    "breast cancer": split(datasets.load_breast_cancer().data),
    "diabetes": split(datasets.load_diabetes().data),
    "moons": split(datasets.make_moons(2500, noise=0.1, random_state=0)[0]),
    "a line": split(np.linspace(-1, 1, 1000)[:, None]),
    "one-hot columns": split(one_hot()),
    "one-hot columns and ages": split(np.concatenate([one_hot(), RNG.integers(0, 50, (1500, 2))], 1)),
    "blobs": split(datasets.make_blobs(1500, 10, centers=20, cluster_std=0.3, random_state=0)[0]),
    "noise": split(RNG.standard_normal((1000, 3, 16, 16))),
    **{f"windows of {name}, by time": by_time(windows(series)) for name, series in SERIES.items()},
    **{f"windows of {name}, at random": split(windows(series)) for name, series in SERIES.items()},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_data_that_is_dense_or_discrete_has_no_twins(name):
    train, held_out = HEALTHY[name]
    found = compared(train.astype("float32"), held_out)

    assert found["val"]["samples"] > 25
    assert judge(NearLeakage(), facts={"near": found}) == []


def with_copies(x, change, share=0.4):
    train, held_out = split(x)
    n = int(share * len(held_out))
    copies = change(train[:n].astype("float64"))
    return train, np.concatenate([copies, held_out[n:]]).astype("float32"), n


FAULTY = {
    "noise on digits": with_copies(DIGITS, lambda x: x + 0.03 * RNG.standard_normal(x.shape)),
    "noise on flat digits": with_copies(DIGITS.reshape(-1, 64), lambda x: x + 0.03 * RNG.standard_normal(x.shape)),
    "brightness of digits": with_copies(DIGITS, lambda x: 0.8 * x + 0.1),
    "coarser digits": with_copies(DIGITS, lambda x: np.round(8 * x) / 8),
    "noise on cells": with_copies(
        datasets.load_breast_cancer().data, lambda x: x + 0.02 * x.std(0) * RNG.standard_normal(x.shape)
    ),
    "noise on diabetes": with_copies(
        datasets.load_diabetes().data, lambda x: x + 0.02 * x.std(0) * RNG.standard_normal(x.shape)
    ),
    "little noise on moons": with_copies(
        datasets.make_moons(2500, noise=0.1, random_state=0)[0], lambda x: x + 1e-4 * RNG.standard_normal(x.shape)
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_changed_copies_of_training_samples_are_found(name):
    train, held_out, n = FAULTY[name]
    found = compared(train, held_out)

    assert 0.6 * n <= found["val"]["twins"] <= n + 3
    assert found["val"]["distance"] < 0.4 * found["val"]["usual"]
    assert len(judge(NearLeakage(), facts={"near": found})) == 1


def test_images_that_were_augmented_before_they_were_split_are_found():
    copies = np.concatenate([DIGITS + 0.03 * RNG.standard_normal(DIGITS.shape) for _ in range(3)])
    found = compared(*split(copies))
    [finding] = judge(NearLeakage(), facts={"near": found})

    assert found["train_twins"] > 0.3 * found["train_samples"]
    assert finding.subject == "val"


def test_samples_that_are_related_in_many_dimensions_are_no_twins():
    rows = np.random.default_rng(6).standard_normal((1500, 20))
    train, held_out, n = with_copies(rows, lambda x: x + 0.5 * RNG.standard_normal(x.shape))
    found = compared(train, held_out)

    assert found["dimension"] > 10
    assert found["val"]["twins"] < 0.1 * n


def test_exact_copies_are_not_near_ones():
    train, held_out = split(DIGITS)
    found = compared(train, np.concatenate([train[:100], held_out]))

    assert (found["val"]["samples"], found["val"]["twins"]) == (len(held_out), 0)


def test_few_training_samples_are_not_judged():
    found = compared(*split(RNG.random((60, 8)).astype("float32")))

    assert found["why"] == "48 samples of the training were compared; 100 are needed"


def test_what_passed_for_held_out_may_be_trained_on():
    found = twins.Twins()
    rows, numbers = torch.randn(150, 8), [*range(150)]
    found.hold_out("val", found.sketch(rows, numbers, None))
    found.forget("val")
    found.train_on(found.sketch(rows, numbers, None))

    assert found.described()["train_samples"] == 150


def test_it_is_compared_as_soon_as_there_are_enough():
    found = twins.Twins()
    for first, last in ((0, 95), (95, 105)):
        found.train_on(found.sketch(torch.randn(last - first, 8), [*range(first, last)], None))
        found.hold_out("val", found.sketch(torch.randn(9, 8), [*range(1000 + first, 1009 + first)], None))
        fact = found.described()

    assert fact["train_samples"] == 105
    assert "why" not in fact


def test_what_is_kept_and_compared_is_bounded():
    found = twins.Twins()
    rows = torch.randn(3000, 20)
    for number, part in enumerate(rows.split(500)):
        found.train_on(found.sketch(part, [*range(number * 500, number * 500 + 500)], None))
    for number in range(6):
        part = torch.randn(40, 20)
        found.hold_out(f"val{number}", found.sketch(part, [*range(10_000 + 40 * number, 10_040 + 40 * number)], None))
    began = time.process_time()
    fact = found.described()

    assert fact["train_samples"] == twins.MOST
    assert [split for split in fact if split.startswith("val")] == ["val0", "val1", "val2", "val3"]
    assert time.process_time() - began < 5.0
    assert found.described() is None


def test_of_an_augmented_training_the_first_epoch_is_kept():
    found = twins.Twins()
    first, second, again = torch.randn(200, 8), torch.randn(200, 8), torch.randn(200, 8)
    found.train_on(found.sketch(first, [*range(200)], None))
    found.end_epoch()
    found.train_on(found.sketch(second, [*range(200, 400)], None))
    after_new = found.described()["train_samples"]
    found.train_on(found.sketch(again, [*range(5), *range(400, 595)], None))

    assert after_new == 200
    assert found.described()["train_samples"] == 395


# -- what a run tells --------------------------------------------------------------------------------------------------


def run_over(train, held_out, asked=True, epochs=2, **options):
    """A training with loaders over both, and an evaluation behind each epoch."""
    flat = [torch.as_tensor(part, dtype=torch.float32).reshape(len(part), -1) for part in (train, held_out)]
    loaders = [
        DataLoader(TensorDataset(x, torch.arange(len(x)) % 3), 50, shuffle=is_train, **options)
        for x, is_train in zip(flat, (True, False), strict=True)
    ]
    model = mlp(flat[0].shape[1])
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with tracked(settings={"near_leakage": asked}) as run:
        for _ in range(epochs):
            for x, y in loaders[0]:
                step(model, optimizer, x, y)
            with torch.no_grad():
                for x, _ in loaders[1]:
                    model(x)
    assert not fault_parts(run)
    return run


def near_findings(run):
    return [finding for finding in run.findings if finding.rule == "near-leakage"]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_jittered_copies_in_the_validation_data_are_named(workers):
    train, held_out, n = FAULTY["noise on digits"]
    run = run_over(train, held_out, num_workers=workers)
    found = facts(run, "near")[-1]
    [finding] = near_findings(run)

    assert 0.2 * n < found["val"]["twins"] <= n  # not all of the training was looked at
    assert found["val"]["example"][0] == found["val"]["example"][1] < n
    assert "near twins of training samples" in finding.message


def test_a_held_out_set_of_its_own_is_not():
    run = run_over(*split(DIGITS))

    assert facts(run, "near")[-1]["val"]["samples"] == 360
    assert near_findings(run) == []


def test_data_that_is_sliced_by_hand_is_compared_too():
    train, held_out, n = FAULTY["noise on cells"]
    X_train, X_val = torch.as_tensor(train), torch.as_tensor(held_out)
    y_train, y_val = torch.arange(len(X_train)) % 3, torch.arange(len(X_val)) % 3
    model = mlp(30)
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with tracked(settings={"near_leakage": True}) as run:
        for _ in range(3):
            for start in range(0, len(X_train), 32):
                step(model, optimizer, X_train[start : start + 32], y_train[start : start + 32])
            with torch.no_grad():
                functional.cross_entropy(model(X_val), y_val)

    assert n - 3 <= facts(run, "near")[-1]["val"]["twins"] <= n


def test_nothing_is_sketched_unless_it_was_asked_for(monkeypatch):
    monkeypatch.setattr(twins.Twins, "sketch", lambda *_: pytest.fail("a sample was sketched"))
    train, held_out, _ = FAULTY["noise on digits"]
    run = run_over(train, held_out, asked=False)

    assert facts(run, "near") == []
    assert facts(run, "overlap")
    assert Overlap().look(torch.randn(4, 3), 4, nowhere).sketched is None


def test_losses_and_generators_are_the_same_with_it_and_without():
    train, held_out, _ = FAULTY["noise on digits"]
    seen = []
    for asked in (False, True):
        torch.manual_seed(3)
        run = run_over(train, held_out, asked=asked)
        seen.append((readings(run, "loss"), torch.rand(3).tolist()))

    assert seen[0] == seen[1]
