"""What a run knows of its data: loaders, inputs, labels, repeated batches, samples on both sides, workers."""

from __future__ import annotations

import itertools
import random
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from tests.trainings import data, facts, fault_parts, loader, mlp, readings, step, subjects, tracked
from tracker.probes import digests, inputs
from tracker.probes.nested import tensors_in

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def train_on(batches, model=None, epochs=1, held_out=()):
    """A run over what `batches()` gives in each epoch, and an evaluation without gradients behind each."""
    model = model or mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with tracked() as run:
        for _ in range(epochs):
            model.train()
            for x, y in batches():
                step(model, optimizer, x, y)
            model.eval()
            with torch.no_grad():
                for x, _ in held_out:
                    model(x)
    assert not fault_parts(run)
    return run


def loader_over(x, y, **options):
    return DataLoader(TensorDataset(x, y), **{"batch_size": 8, **options})


# -- loaders -----------------------------------------------------------------------------------------------------------


def test_loaders_are_told_with_what_they_are_for():
    x, y = data(40)
    train = loader_over(x[:24], y[:24], shuffle=True, drop_last=True)
    held_out = loader_over(x[24:], y[24:], batch_size=4)
    run = train_on(lambda: train, epochs=2, held_out=held_out)

    first, second = facts(run, "loaders")[-1]
    assert (first["split"], second["split"]) == ("train", "val")
    assert (first["length"], first["batch_size"], first["dataset_length"]) == (3, 8, 24)
    assert (first["shuffle"], first["drop_last"], first["num_workers"]) == (True, True, 0)
    assert first["sampler"].endswith("RandomSampler")
    assert (second["length"], second["batch_size"], second["shuffle"]) == (4, 4, False)
    assert readings(run, "batch_size", "train") == [(0, 8.0)]
    assert readings(run, "batch_size", "val") == [(3, 4.0)]


class Own(Dataset):
    """A data set whose length nobody but its loader may ask for."""

    def __len__(self):
        caller = sys._getframe(1).f_globals["__name__"]
        assert caller.startswith("torch."), caller
        return 20

    def __getitem__(self, index):
        return torch.full((6,), float(index)), index % 3


def test_the_length_of_a_loader_over_the_users_own_data_is_counted():
    loader = DataLoader(Own(), batch_size=5)
    run = train_on(lambda: loader, epochs=3)

    assert "length" not in facts(run, "loaders")[0][0]
    assert facts(run, "loaders")[-1][0]["length"] == 4


class Stream(IterableDataset):
    def __iter__(self):
        yield from ((torch.full((6,), float(i)), i % 3) for i in range(20))


def test_a_stream_of_samples_has_a_loader_too():
    loader = DataLoader(Stream(), batch_size=5)
    run = train_on(lambda: loader, epochs=3)

    assert facts(run, "loaders")[-1][0]["split"] == "train"
    assert facts(run, "loaders")[-1][0]["length"] == 4


@pytest.mark.parametrize(("shuffle", "same"), [(False, True), (True, False)])
def test_the_order_of_each_pass_is_compared(shuffle, same):
    loader = loader_over(*data(64), shuffle=shuffle)
    run = train_on(lambda: loader, epochs=3)

    assert facts(run, "loaders")[-1][0]["same_order"] is same


def test_two_samplers_over_one_data_set_are_two_loaders():
    dataset = TensorDataset(*data(40))
    train = DataLoader(dataset, 8, sampler=SubsetRandomSampler(range(24)))
    held_out = DataLoader(dataset, 8, sampler=SubsetRandomSampler(range(24, 40)))
    again = DataLoader(dataset, 8, sampler=SubsetRandomSampler(list(range(24))))
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for x, y in train:
            step(model, optimizer, x, y)
        with torch.no_grad():
            for loader in (held_out, again):
                for x, _ in loader:
                    model(x)

    assert [row["split"] for row in facts(run, "loaders")[-1]] == ["train", "val", "train"]


def test_many_loaders_made_in_the_loop_are_bounded():
    x, y = data(16)
    run = train_on(lambda: loader_over(x, y), epochs=120)

    assert len(facts(run, "loaders")[-1]) <= 16
    assert len(facts(run, "loaders")) <= 100


def test_a_loader_made_anew_for_each_epoch_is_one():
    dataset, held_out = TensorDataset(*data(24)), TensorDataset(*data(16, seed=1))
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with tracked() as run:
        for _ in range(3):
            for x, y in DataLoader(dataset, 8, shuffle=True):
                step(model, optimizer, x, y)
            with torch.no_grad():
                for x, _ in DataLoader(held_out, 8):
                    model(x)

    first, second = facts(run, "loaders")[-1]
    assert (first["split"], first["same_order"]) == ("train", False)
    assert (second["split"], second["same_order"]) == ("val", True)


# -- inputs and labels -------------------------------------------------------------------------------------------------


def test_inputs_are_measured_as_the_model_is_given_them():
    x, y = data(8)
    run = train_on(lambda: [(x * 50 + 128, y)])

    given = x * 50 + 128
    for signal, expected in (
        ("input/mean", given.mean()), ("input/std", given.std()), ("input/low", given.min()),
        ("input/high", given.max()), ("input/nonfinite", torch.tensor(0.0)),
    ):  # fmt: skip
        assert readings(run, signal, "train/input") == [(0, pytest.approx(expected.item(), rel=1e-5))]


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, features, scale, *, options):
        return self.layer(features * options["gain"]) * scale[0].float()


def test_inputs_are_called_as_the_model_calls_them():
    model, (x, y) = TwoInputs(), data(8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        outputs = model(x, torch.tensor([2]), options={"gain": torch.ones(1), "name": "a"})
        functional.cross_entropy(outputs, y).backward()
        optimizer.step()

    assert subjects(run, "input/mean") == {"train/features", "train/options/gain"}


def test_containers_of_other_shapes_are_other_models_and_copies_of_one_are_the_same():
    x, y = data(8)
    encoder = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    heads = [nn.Sequential(nn.Linear(4, 3), nn.Tanh()) for _ in range(2)]
    with tracked() as run:
        for head in heads:
            optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], 0.1)
            functional.cross_entropy(head(encoder(x)), y).backward()
            optimizer.step()

    assert subjects(run, "input/mean") == {"train/input", "train/Sequential2.input"}


def test_values_that_are_not_finite_are_counted_and_left_out():
    x = torch.randn(50, 4)
    x[3, 1], x[5, 2] = float("nan"), float("inf")
    mean, std, low, high, others = inputs.statistics(x).tolist()

    rest, measures = x[x.isfinite()], (torch.mean, torch.std, torch.min, torch.max)
    assert others == 2
    assert [mean, std, low, high] == pytest.approx([f(rest).item() for f in measures], rel=1e-5)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(1), torch.full((3,), float("nan")), torch.randn(4, 3).half(), torch.randn(5).bfloat16(),
     torch.full((4,), 3e38), torch.randn(3, 200_000), torch.tensor(2.0), torch.randn(300_000, 2).t()],
)  # fmt: skip
def test_inputs_of_every_kind_are_measured(tensor):
    found = inputs.statistics(tensor)

    assert found.shape == (5,)
    assert found[4] == tensor.isfinite().logical_not().sum()


def test_statistics_on_a_device_are_those_of_the_cpu(monkeypatch):
    x = torch.randn(64, 5)
    x[2, 2] = float("inf")
    expected = inputs.statistics(x)
    monkeypatch.setattr(torch.Tensor, "is_cpu", False)

    assert inputs.statistics(x).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize(("order", "expected"), [("sorted", 30 / 31), ("alternating", 0.0), ("one", 1.0)])
def test_the_order_of_labels_is_told(order, expected):
    x = torch.randn(32, 6)
    y = {"sorted": torch.arange(32) // 16, "alternating": torch.arange(32) % 2, "one": torch.ones(32).long()}[order]
    run = train_on(lambda: [(x, y)])

    assert readings(run, "labels/runs", "train") == [(0, pytest.approx(expected))]


def test_the_order_of_labels_of_a_yes_or_no_is_told_and_that_of_quantities_is_not():
    model = mlp(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    x, kinds = data(32)[0], [(torch.arange(32) >= 16).float()[:, None], torch.randn(32, 1)]
    seen = []
    for y in kinds:
        with tracked() as run:
            optimizer.zero_grad()
            functional.mse_loss(model(x), y).backward()
            optimizer.step()
        seen.append(readings(run, "labels/runs", "train"))

    assert seen == [[(0, pytest.approx(30 / 31))], []]


def test_a_batch_of_equal_samples_does_not_vary():
    x, y = data(32)
    same, other = (train_on(lambda rows=rows: [(rows, y)]) for rows in (x[:1].expand(32, 6).clone(), x))

    assert readings(same, "input/varied") == [(0, 0.0)]
    assert readings(other, "input/varied") == [(0, pytest.approx(x.std(0).mean().item(), rel=1e-4))]
    assert facts(same, "inputs") == [{"input": {"shape": [32, 6], "dtype": "float32"}}]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 2, 3]], 5 / 12),
        ([[0, 0, 0, 0], [3, 0, 0, 0], [1, 1, 2, 0]], 4 / 12),  # a row of filler alone may be meant
        ([[1, 2, 3, 4], [4, 3, 2, 1]], 0.0 + 1 / 8),
    ],
)
def test_the_filler_at_the_end_of_rows_is_counted(rows, expected):
    assert inputs.padding(torch.tensor(rows), -100) == pytest.approx(expected)


def test_filler_that_the_loss_leaves_out_is_none():
    assert inputs.padding(torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]]), 0) == 0.0


# -- repeated batches --------------------------------------------------------------------------------------------------


def test_a_loop_that_is_stuck_on_one_batch_repeats_it():
    x, y = data(8)
    loader = loader_over(x.repeat(6, 1), y.repeat(6))
    run = train_on(lambda: loader)

    assert readings(run, "batch/looked_at", "train") == [(5, 6.0)]
    assert readings(run, "batch/repeated", "train") == [(5, 5.0)]


def test_batches_of_a_healthy_loader_are_not_repeated_within_an_epoch():
    loader = loader_over(*data(48))
    run = train_on(lambda: loader, epochs=2)

    assert readings(run, "batch/repeated", "train") == [(5, 0.0), (11, 0.0)]
    assert readings(run, "batch/looked_at", "train")[0] == (5, 6.0)


def test_one_batch_by_hand_over_and_over_is_told():
    x, y = data(8)
    run = train_on(lambda: [(x, y)] * 5)

    assert facts(run, "batches") == [{"source": "by hand", "rows": 8}]
    assert readings(run, "batch/repeated", "train") == [(4, 4.0)]
    assert readings(run, "batch_size", "train") == [(0, 8.0)]


# -- samples on both sides ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [0, 6, 16])
def test_samples_of_both_training_and_validation_are_counted(shared):
    x, y = data(64)
    train = loader_over(x[:40], y[:40], shuffle=True)
    start = 40 - shared
    held_out = loader_over(x[start : start + 16], y[start : start + 16])
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with tracked() as run:
        for a, b in train:
            step(model, optimizer, a, b)
        with torch.no_grad():
            for a, _ in held_out:
                model(a.double().float())  # what the loader gave is compared, not what became of it

    assert readings(run, "data/overlap", "val") == [(4, shared / 16)]
    assert facts(run, "overlap") == [
        {
            "train_samples": 40,
            "train_duplicates": 0,
            "train_batches": 5,
            "is_continuous": True,
            "is_few": False,
            "val": {"samples": 16, "shared": shared},
        }
    ]


def test_images_that_differ_inside_an_empty_margin_are_different_batches():
    x, y = torch.zeros(64, 8, 8), torch.zeros(64, dtype=torch.long)
    x[:, 2:6, 2:6] = torch.rand(64, 4, 4, generator=torch.Generator().manual_seed(0))
    images = x.reshape(64, 64)
    run = train_on(lambda: [(images[start : start + 8], y[:8]) for start in range(0, 64, 8)], mlp(64))

    assert readings(run, "batch/repeated", "train") == [(7, 0.0)]
    assert facts(run, "batches")[-1] == {"source": "by hand", "rows": 64}


def test_samples_of_a_few_whole_numbers_are_said_to_be_alike_by_chance():
    bits = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(3, 1)
    run = train_on(lambda: [(bits, torch.zeros(12, dtype=torch.long))] * 3, mlp(2))

    assert facts(run, "overlap")[-1]["is_few"]


def test_a_loader_is_called_as_the_variable_it_is_in():
    train_loader, val_loader = loader_over(*data(32)), loader_over(*data(16, seed=1))
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)

    def evaluate(batches):
        with torch.no_grad():
            for x, _ in batches:
                model(x)

    with tracked() as run:
        for x, y in train_loader:
            step(model, optimizer, x, y)
        evaluate(val_loader)

    assert [loader["name"] for loader in facts(run, "loaders")[-1]] == ["train_loader", "val_loader"]


def test_evaluating_the_training_data_with_a_loader_of_its_own_is_no_held_out_set():
    x, y = data(40)
    dataset = TensorDataset(x, y)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with tracked() as run:
        for _ in range(8):
            for a, b in DataLoader(dataset, 8, shuffle=True):
                step(model, optimizer, a, b)
            with torch.no_grad():
                for a, _ in DataLoader(dataset, 16):
                    model(a)

    assert {loader["split"] for loader in facts(run, "loaders")[-1]} == {"train"}
    assert readings(run, "data/overlap") == []


def test_a_random_split_shares_nothing_and_a_wrong_one_is_seen():
    dataset = TensorDataset(*data(64))
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    shares = []
    for held_out in (Subset(dataset, range(40, 60)), Subset(dataset, range(30, 50))):
        with tracked() as run:
            for x, y in DataLoader(Subset(dataset, range(40)), 8, shuffle=True):
                step(model, optimizer, x, y)
            model.eval()
            for x, _ in DataLoader(held_out, 8):
                with torch.no_grad():
                    model(x)
        shares.append(readings(run, "data/overlap", "val")[0][1])

    assert shares == [0.0, 0.5]


def test_duplicates_within_the_training_are_counted():
    x, y = data(32)
    loader = loader_over(torch.cat([x, x[:8] + 0]), torch.cat([y, y[:8]]), batch_size=10)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    with tracked() as run:
        for a, b in loader:
            step(model, optimizer, a, b)
        with torch.no_grad():
            for a, _ in loader_over(x + 1, y):
                model(a)

    assert facts(run, "overlap")[0]["train_duplicates"] == 8


def test_padding_does_not_make_another_sample_of_tokens():
    row = torch.randint(1, 9, (1, 5))
    longer = torch.cat([row, torch.zeros(1, 4, dtype=torch.long)], 1)
    longest = torch.cat([row, torch.zeros(1, 7, dtype=torch.long)], 1)

    assert digests.of_samples(longer, 9) == digests.of_samples(longest, 9) == digests.of_samples(row, 9)
    assert digests.of_samples(row, 9) != digests.of_samples(row + 1, 9)


@pytest.mark.parametrize(
    "tensor",
    [torch.randn(4, 3), torch.randn(4), torch.randn(4, 3, 40, 40), torch.randn(4, 3).bfloat16(),
     torch.ones(4, 2).bool(), torch.randn(4, 2, dtype=torch.complex64), torch.randn(3, 4).t(),
     torch.randint(0, 9, (4, 5000))],
)  # fmt: skip
def test_samples_of_every_kind_have_a_digest_each(tensor):
    found = digests.of_samples(tensor, 10)

    assert len(found) == 4
    assert found == digests.of_samples(tensor.clone(), 10)
    assert found[:2] == digests.of_samples(tensor, 2)
    assert digests.of_batch([tensor]) == digests.of_batch([tensor.clone()]) is not None
    assert digests.of_samples(tensor[:0], 10) == []


# -- nests -------------------------------------------------------------------------------------------------------------


def test_tensors_are_found_in_any_nest():
    class Thing:
        def __init__(self):
            self.boxes = [torch.zeros(1)]

    a, b = torch.zeros(2), torch.zeros(3)
    nest = (
        a,
        {"labels": b, "more": (Thing(), "text", None)},
        [torch.zeros(2).to_sparse()],
        torch.zeros(1, device="meta"),
    )

    assert [path for path, _ in tensors_in(nest)] == ["0", "1/labels", "1/more/0/boxes/0"]
    assert tensors_in(a) == [("", a)]


def test_a_nest_without_an_end_is_left():
    endless: list[object] = [torch.zeros(1)]
    endless.append(endless)

    assert len(tensors_in(endless)) < 64


# -- workers -----------------------------------------------------------------------------------------------------------


class Noisy(Dataset):
    """Adds noise from one of the places such noise comes from."""

    def __init__(self, source):
        self.source = source
        self.rng = np.random.default_rng(0) if source == "own" else None
        self.transforms = [random.Random(3)] if source == "nested" else []

    def __len__(self):
        return 16

    def __getitem__(self, index):
        noise = {
            "numpy": lambda: np.random.normal(size=6),
            "own": lambda: self.rng.normal(size=6),
            "nested": lambda: [self.transforms[0].random() for _ in range(6)],
            "module": lambda: RNG.normal(size=6),
            "torch": lambda: torch.randn(6).numpy(),
        }[self.source]()
        return torch.tensor(noise, dtype=torch.float32), index % 3


def seed_all_alike(worker):
    np.random.seed(0)


def watch_workers(source, epochs=2, **options):
    loader = DataLoader(Noisy(source), batch_size=4, num_workers=2, **options)
    run = train_on(lambda: loader, epochs=epochs)
    found = facts(run, "workers")
    return (found[-1][0] if found else None), run


def test_workers_that_torch_seeds_differ():
    found, _ = watch_workers("numpy")

    assert (found["split"], found["num_workers"], found["seen"]) == ("train", 2, 2)
    assert found["generators"]["numpy"] == {"equal": False, "drawn": True, "same_each_pass": False}
    assert found["generators"]["torch"]["drawn"] is False


def test_a_fixed_seed_in_each_worker_is_seen():
    found, _ = watch_workers("numpy", worker_init_fn=seed_all_alike)

    assert found["generators"]["numpy"] == {"equal": True, "drawn": True, "same_each_pass": True}
    assert found["generators"]["torch"] == {"equal": False, "drawn": False, "same_each_pass": False}


@pytest.mark.parametrize(
    ("source", "name"), [("own", "dataset.rng"), ("nested", "dataset.transforms[0]"), ("module", "RNG")]
)
def test_a_generator_that_every_worker_copies_is_seen(source, name):
    found, _ = watch_workers(source)

    assert found["generators"][name] == {"equal": True, "drawn": True, "same_each_pass": True}
    assert found["generators"]["numpy"]["drawn"] is False


def test_workers_that_stay_are_seen_once():
    found, _ = watch_workers("own", persistent_workers=True)

    assert found["seen"] == 2
    assert found["generators"]["dataset.rng"]["same_each_pass"] is None


class Broken(Noisy):
    def __getitem__(self, index):
        raise ValueError("no such sample")


def test_the_error_of_a_worker_reads_as_without_us():
    loader = DataLoader(Broken("torch"), batch_size=4, num_workers=1)
    with pytest.raises(ValueError, match="no such sample") as bare:
        next(iter(loader))
    with pytest.raises(ValueError, match="no such sample") as observed:
        train_on(lambda: loader)

    assert str(observed.value) == str(bare.value)


@pytest.mark.slow
def test_spawned_workers_are_said_to_be_unseen():
    found, run = watch_workers("own", epochs=1, multiprocessing_context="spawn")

    assert found is None
    assert "spawned" in facts(run, "unseen")[-1]["workers"]


def test_samplers_with_weights_have_a_loader_each():
    x, y = data(24)
    loader = loader_over(x, y, sampler=WeightedRandomSampler([1.0] * 24, 24))
    other = loader_over(x, y, sampler=RandomSampler(range(24)))
    run = train_on(lambda: [*loader, *other])

    assert facts(run, "loaders")[-1][0]["sampler"].endswith("WeightedRandomSampler")


@pytest.mark.parametrize("made", ["a list", "a data set of its own each time", "a list, all loaders kept"])
def test_a_loader_that_is_made_anew_for_each_evaluation_is_one_split(made):
    model, held_out = mlp(), data(20, seed=5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    rows, kept = list(zip(*held_out, strict=True)), []
    with tracked() as run:
        for _ in range(3):
            for x, y in loader():
                step(model, optimizer, x, y)
            with torch.no_grad():
                kept.append(DataLoader(TensorDataset(*held_out) if made.startswith("a data set") else rows, 10))
                for x, _ in kept[-1]:
                    model(x)
            if not made.endswith("kept"):
                kept.clear()

    assert subjects(run, "loss/val") == {""}
    assert len(readings(run, "loss/val")) == 3


def test_batches_that_are_fetched_one_ahead_are_told_from_batches_by_hand():
    model, x_val = mlp(), data(20, seed=5)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(2):
            waiting = None
            # As Lightning and Accelerate do, to know which one is the last.
            for batch in itertools.chain(loader(24), [None]):
                if waiting is not None:
                    step(model, optimizer, *waiting)
                waiting = batch
            with torch.no_grad():
                for x, _ in DataLoader(TensorDataset(*x_val), 10):
                    model(x)

    assert facts(run, "batches") == [{"source": "loader"}]
    assert facts(run, "loaders")[-1][0]["split"] == "train"
    assert len(readings(run, "loss/val")) == 2
