"""Sums over batches are those of all samples at once, on the CPU and as they are computed on a device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from tracker.probes.criterion import Criterion, Place, change_between
from tracker.probes.tally import CHUNK, Tally, _count


def criterion(function="cross_entropy", n_classes=3, shape=(8, 3), **settings):
    loss = SimpleNamespace(
        function=function, n_classes=n_classes, weights=None, weighs=False, ignored=-100, reduction="mean",
        smoothing=0.0, settings={}, terms=1, scaled=False, by_hand=False,
    )  # fmt: skip
    for name, value in settings.items():
        setattr(loss, name, value)
    return Criterion(loss, Place("", shape), ["LogSoftmax"] if function == "cross_entropy" else [], False)


def score(of, batches):
    tally = Tally(of)
    for outputs, targets in batches:
        tally.add(*of.prepare(outputs, targets), len(outputs))
    return tally.ask().read()


@pytest.mark.parametrize("n", [8, CHUNK // 2])
@pytest.mark.parametrize(
    "settings", [{}, {"weights": torch.tensor([1.0, 3.0, 2.0])}, {"ignored": 1}, {"smoothing": 0.2}]
)
def test_batches_of_all_sizes_give_the_weighted_mean_of_their_losses(n, settings):
    torch.manual_seed(1)
    batches = [(torch.randn(size, 3), torch.randint(0, 3, (size,))) for size in (n, n, 5)]

    found = score(criterion(**settings), batches)

    losses = [
        functional.cross_entropy(
            outputs, targets, settings.get("weights"), ignore_index=settings.get("ignored", -100),
            label_smoothing=settings.get("smoothing", 0.0),
        ).item() * len(outputs)
        for outputs, targets in batches
    ]  # fmt: skip
    outputs, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    inside = targets != settings.get("ignored", -100)
    assert found.samples == 2 * n + 5
    assert found.loss == pytest.approx(sum(losses) / found.samples, rel=1e-5)
    assert found.accuracy == pytest.approx((outputs.argmax(1) == targets)[inside].float().mean().item())
    assert found.labels == torch.bincount(targets[inside], minlength=3).tolist()
    assert found.predicted == torch.bincount(outputs.argmax(1)[inside], minlength=3).tolist()


def test_the_spread_of_targets_is_that_around_the_mean_of_each_column():
    torch.manual_seed(0)
    targets = [torch.randn(20, 2) * torch.tensor([1.0, 5.0]) + torch.tensor([300.0, -40.0]) for _ in range(3)]
    found = score(criterion("mse_loss", None, (20, 2)), [(torch.zeros(20, 2), one) for one in targets])

    every = torch.cat(targets)
    assert found.spread == pytest.approx((every - every.mean(0)).square().mean().sqrt().item(), rel=1e-4)
    assert found.error == pytest.approx(every.square().mean().sqrt().item(), rel=1e-5)
    assert found.labels == []


def test_very_large_outputs_are_judged_by_some_of_their_rows():
    outputs = torch.randn(1 << 21, 3)
    targets = outputs.argmax(1)

    found = score(criterion(shape=tuple(outputs.shape)), [(outputs, targets)])

    assert found.accuracy == 1.0
    assert found.loss == pytest.approx(functional.cross_entropy(outputs, targets).item(), rel=0.01)


def test_counting_on_a_device_gives_what_it_gives_on_the_cpu(monkeypatch):
    values, inside = torch.randint(0, 5, (200,)), torch.rand(200) > 0.3
    expected = _count(values, inside, 5, torch.float64)
    monkeypatch.setattr(torch.Tensor, "is_cpu", False)

    assert _count(values, inside, 5, torch.float64).tolist() == expected.tolist()


def test_a_batch_without_a_counted_sample_is_no_number():
    found = score(criterion(), [(torch.randn(4, 3), torch.full((4,), -100))])

    assert found.accuracy != found.accuracy
    assert found.labels == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("given", "used", "change"),
    [
        (torch.tensor([1, 2, 0]), torch.tensor([1.0, 2.0, 0.0]), "same"),
        (torch.tensor([[1], [2]]), torch.tensor([1, 2]), "same"),
        (torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([2, 3, 5, 6]), "shift"),
        (torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([2, 3, -100, 5, 6, -100]), "shift_pad"),
        (torch.tensor([1, 0]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), "one_hot"),
        (torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0]), "argmax"),
        (torch.tensor([1, 2, 0]), torch.tensor([1, 2, 1]), None),
        (torch.tensor([1, 2, 0]), torch.tensor([1, 2]), None),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), None),
    ],
)
def test_what_became_of_the_targets_is_recognised(given, used, change):
    found = change_between(given, used, -100)

    assert found == change
