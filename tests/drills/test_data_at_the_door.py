"""What is seen of the data before a training, and that nothing of the loaders is used up."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from tracker import preflight

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(360, 12, generator=GENERATOR)
Y = (X[:, :4] + 0.3 * torch.randn(360, 4, generator=GENERATOR)).argmax(1)


def loaders(x=X, y=Y, held_out=None, shuffle=True, **given):
    """Loaders of 300 samples for training and 60 held out, unless those are given."""
    inputs, labels = held_out if held_out is not None else (x[300:], y[300:])
    own = TensorDataset(x[:300], y[:300])
    return {
        "train": DataLoader(own, 30, shuffle=shuffle, **given),
        "val": DataLoader(TensorDataset(inputs, labels), 30),
    }


def drilled(found, model=None, loss=functional.cross_entropy, batch=None):
    """The row of the drill."""
    model = model if model is not None else nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    batch = batch if batch is not None else next(iter(found["train"]))
    return preflight(model, loss, batch, loaders=found, only=("data-at-the-door",), log=False).rows[0]


def rules_of(row):
    """The rules that found something to warn of."""
    return [one["rule"] for one in row.findings if one["severity"] != "info"]


def with_values(value, rows):
    x = X.clone()
    x[rows, 3] = value
    return x


IN_ORDER = Y.sort().indices

FAULTY = {
    "a NaN in each sample": (lambda: loaders(with_values(float("nan"), slice(None))), "nonfinite-feature"),
    "pixels that were not scaled": (lambda: loaders(X * 90 + 120), "unscaled-feature"),
    "values scaled twice": (lambda: loaders(X / 1000), "unscaled-feature"),
    "one sample again and again": (lambda: loaders(X[:1].expand(360, 12)), "every-sample-equal"),
    "one label only": (lambda: loaders(X, Y * 0), "one-label-only"),
    "labels in order": (lambda: loaders(X[IN_ORDER], Y[IN_ORDER], shuffle=False), "sorted-labels"),
    "held-out copies": (lambda: loaders(held_out=(X[270:330], Y[270:330])), "duplicates-across-splits"),
    "held-out data raw": (lambda: loaders(held_out=(X[300:] * 50, Y[300:])), "splits-scaled-differently"),
    "held-out labels from 1": (lambda: loaders(held_out=(X[300:], Y[300:] + 1)), "label-out-of-range"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_of_the_data_is_found_by_its_rule(name):
    make, rule = FAULTY[name]
    row = drilled(make())

    assert (row.status, rules_of(row)) == ("failed", [rule])


@pytest.mark.parametrize("given", [{}, {"shuffle": False}, {"drop_last": True}])
def test_sound_data_passes(given):
    row = drilled(loaders(**given))

    assert (row.status, rules_of(row)) == ("passed", [])
    assert row.says.startswith("300 of train, 60 of val drawn")


def test_a_few_bad_samples_are_found_in_the_loader_though_the_batch_has_none():
    row = drilled(loaders(with_values(float("inf"), [7, 200])), batch=(X[30:60], Y[30:60]))

    assert rules_of(row) == ["nonfinite-feature"]
    assert "2 of 300 samples" in row.findings[-1]["message"]


def test_missing_values_that_the_model_fills_are_no_fault():
    class Filling(nn.Sequential):
        def forward(self, x):
            return super().forward(x.nan_to_num(0.0))

    row = drilled(loaders(with_values(float("nan"), slice(None))), Filling(nn.Linear(12, 4)))

    assert rules_of(row) == []


def test_a_rare_label_that_the_output_does_not_have_is_found_in_the_loader():
    labels = Y.clone()
    labels[[70, 200]] = 4
    row = drilled(loaders(X, labels), batch=(X[:30], Y[:30]))

    assert rules_of(row) == ["label-out-of-range"]


def test_labels_of_minus_one_are_found_in_a_binary_loss():
    labels = (Y > 1).float()[:, None] * 2 - 1
    row = drilled(loaders(X, labels), nn.Linear(12, 1), functional.binary_cross_entropy_with_logits)

    assert rules_of(row) == ["label-out-of-range"]


def test_large_values_that_are_normalised_first_are_no_fault():
    row = drilled(loaders(X * 90 + 120), nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 4)))

    assert rules_of(row) == []


class Pictures(nn.Module):
    """Brings pictures (N, H, W, 3) into the order of a convolution."""

    def __init__(self, bring):
        super().__init__()
        self.bring = bring
        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.convolution(self.bring(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("bring", "found"),
    [(lambda x: x.view(len(x), 3, 10, 10), ["image-layout"]), (lambda x: x.permute(0, 3, 1, 2), [])],
)
def test_pictures_are_permuted_not_viewed(bring, found):
    pictures = torch.rand(360, 10, 10, 3, generator=torch.Generator().manual_seed(1))
    row = drilled(loaders(pictures, Y), Pictures(bring))

    assert rules_of(row) == found


class Noisy(Dataset):
    """Adds noise, from a generator of its own or from numpy's."""

    def __init__(self, rng):
        self.rng, self.drawn = rng, 0

    def __len__(self):
        return 300

    def __getitem__(self, index):
        self.drawn += 1
        noise = (self.rng or np.random).normal(size=12)
        return X[index] + torch.tensor(noise, dtype=torch.float32), Y[index]


@pytest.mark.parametrize(("rng", "found"), [(np.random.default_rng(0), ["same-randomness-in-workers"]), (None, [])])
def test_workers_that_draw_the_same_noise_are_found(rng, found):
    row = drilled({"train": DataLoader(Noisy(rng), 30, num_workers=2)}, batch=(X[:30], Y[:30]))

    assert rules_of(row) == found


def test_the_loaders_and_every_generator_are_as_before():
    def state():
        return (
            torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()), dataset.drawn,
            str(dataset.rng.bit_generator.state), loader.generator.get_state().tolist(),
        )  # fmt: skip

    dataset = Noisy(np.random.default_rng(0))
    loader = DataLoader(dataset, 30, shuffle=True, generator=torch.Generator().manual_seed(3))
    half = iter(loader)
    next(half)
    model = nn.Linear(12, 4)
    before = state()
    row = drilled({"train": loader}, model, batch=(X[:30], Y[:30]))

    assert row.says.startswith("300 of train")
    assert state() == before
    assert len(list(half)) == 9


class Remembering(Dataset):
    """Makes a random sample when it is first asked for one, and keeps it."""

    def __init__(self):
        self.made = {}

    def __len__(self):
        return 1200

    def __getitem__(self, index):
        if index not in self.made:
            self.made[index] = torch.randn(12)
        return self.made[index], Y[index % 300]


def test_a_data_set_forgets_the_samples_that_were_drawn_from_it():
    dataset = Remembering()
    made, first = dataset.made, [dataset[index][0] for index in range(1100)][7]
    row = drilled({"train": DataLoader(dataset, 30)}, batch=(X[:30], Y[:30]))

    assert row.says.startswith("1200 of train")
    assert dataset.made is made
    assert len(made) == 1100
    assert made[7] is first


class Stream(IterableDataset):
    def __iter__(self):
        raise AssertionError("a stream is not to be touched")


class Broken(Dataset):
    def __len__(self):
        return 30

    def __getitem__(self, index):
        raise OSError("the disk is gone")


def test_what_cannot_be_drawn_is_said_and_nothing_is_taken_from_it():
    once = iter([(X[:30], Y[:30])])
    found = {"train": DataLoader(Stream(), 30), "val": once, "test": DataLoader(Broken(), 30)}
    row = drilled(found, batch=(X[:30], Y[:30]))

    assert row.status == "passed"
    assert "train: the data set is a stream" in row.says
    assert "val: it can be gone through once only" in row.says
    assert "test: a batch could not be made: OSError: the disk is gone" in row.says
    assert len(list(once)) == 1


def test_without_loaders_the_batch_is_looked_at():
    row = drilled({}, batch=(X[:30] * 300, Y[:30]))

    assert rules_of(row) == ["unscaled-feature"]
