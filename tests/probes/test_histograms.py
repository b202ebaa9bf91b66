"""Histograms of known tensors, and what is kept of weights, gradients and outputs in real trainings."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainings import data, fault_parts, loader, mlp, records, step, tracked
from tracker.probes import histograms, moments
from tracker.probes.bins import BINS, MOST_VALUES, binned, binned_there, sampled
from tracker.probes.histograms import MOST, Histograms
from tracker.probes.moments import Moments, Schedule
from tracker.rules.engine.records import Array
from tracker.rules.engine.trace import Trace


@pytest.fixture
def plenty(monkeypatch):
    """All moments fit into the time that may be spent on them."""
    monkeypatch.setattr(moments, "ALLOWANCE", math.inf)


def arrays(run, signal, subject=None):
    """(step, values) of the arrays of a signal."""
    return [
        (record.step, list(record.values))
        for record in records(run)
        if isinstance(record, Array) and record.signal == signal and subject in (None, record.subject)
    ]


def named(run, signal):
    """The subjects of the arrays of a signal."""
    return {record.subject for record in records(run) if isinstance(record, Array) and record.signal == signal}


def expected(tensor):
    """What `numpy` makes of all values of a tensor."""
    values = tensor.detach().double().reshape(-1).numpy()
    return [*map(pytest.approx, (values.min(), values.max()))], np.histogram(values, BINS)[0].tolist()


def train(model, steps=1, **options):
    """Trains in a run of its own; the run."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = data()
    with tracked(**options) as run:
        for _ in range(steps):
            step(model, optimizer, x, y)
    assert fault_parts(run) == []
    return run


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(1000), torch.rand(40, 7).t(), torch.randn(300).bfloat16(), torch.randn(60).half(), torch.arange(64),
        torch.randn(500, dtype=torch.float64), torch.rand(90) > 0.3, torch.tensor([-3e38, 0.0, 1e38, 3e38]),
        torch.randn(8, 3, 6, 6).to(memory_format=torch.channels_last),
    ],
)  # fmt: skip
def test_a_histogram_is_that_of_all_values(tensor):
    bounds, counts = expected(tensor)

    found, there = binned(sampled(tensor)), binned_there(sampled(tensor)).tolist()

    assert (found[:2], found[2:]) == (bounds, counts)
    # In float32, where a device has no other, a value on a bound may be in the bin beside.
    assert there[:2] == bounds
    assert sum(there[2:]) == sum(counts)
    assert np.abs(np.subtract(there[2:], counts)).sum() <= 4


@pytest.mark.parametrize(
    ("tensor", "bounds", "counts"),
    [
        (torch.full((9,), 2.5), [2.5, 2.5], {31: 9}),
        (torch.tensor([1.0, math.nan, 3.0, math.inf, -math.inf]), [1.0, 3.0], {0: 1, 31: 1}),
        (torch.tensor([-1.7e308, 0.0, 1.7e308], dtype=torch.float64), [-1.7e308, 1.7e308], {0: 1, 16: 1, 31: 1}),
        (torch.tensor([0.0, 5e-324, 1e-323], dtype=torch.float64), [0.0, 1e-323], {0: 1, 16: 1, 31: 1}),
    ],
)
def test_constants_and_values_at_the_ends_of_the_numbers_have_histograms(tensor, bounds, counts):
    found = binned(sampled(tensor))

    assert found[:2] == bounds
    assert {at: count for at, count in enumerate(found[2:]) if count} == counts


@pytest.mark.parametrize("tensor", [torch.tensor([]), torch.tensor([math.nan, math.inf]), torch.zeros(0, 3)])
def test_where_nothing_is_finite_there_is_no_histogram(tensor):
    assert binned(sampled(tensor)) is None


@pytest.mark.parametrize("units", [128, 96, 4096, 1000])
def test_a_sample_comes_upon_every_unit_alike(units):
    values = torch.arange(units).repeat(1_000_000 // units, 1)

    found = sampled(values)

    assert MOST_VALUES / 4 <= len(found) <= MOST_VALUES
    # As many of the lower half of the units as of the upper, and of the even as of the odd.
    assert (found < units / 2).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (found % 2).mean().item() == pytest.approx(0.5, abs=0.03)
    assert len(found.unique()) >= min(units, len(found)) * 0.9


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(64, 32, 16, 16).to(memory_format=torch.channels_last), torch.randn(3, 200_000)[:, ::2],
        torch.randn(1, 5000).expand(400, 5000), torch.randn(200_000)[::2],
    ],
)  # fmt: skip
def test_a_sample_of_any_layout_is_a_small_copy_of_the_values_alone(tensor):
    found = sampled(tensor)

    assert 0 < len(found) <= MOST_VALUES
    assert found.is_contiguous()
    assert bool(torch.isin(found, tensor).all())
    assert found.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()


def test_ten_thousand_moments_are_thinned_to_a_few_dozen():
    chosen = Moments()
    kept = []
    for at in range(10_000):
        if chosen.is_due(at):
            chosen.note(at)
            kept.append(at)

    assert kept[:16] == list(range(16))
    assert len(kept) <= 48
    assert all(after <= 2 * before for before, after in itertools.pairwise(kept[1:]))


@pytest.mark.usefixtures("plenty")
@pytest.mark.parametrize("steps_an_epoch", [100_000, 10_000, 100, 10])
def test_a_run_of_a_hundred_thousand_steps_has_a_few_dozen_moments_whatever_its_epochs(steps_an_epoch):
    schedule = Schedule()
    kept = []
    for at in range(0, 100_000, 10):
        if schedule.is_due(at, at // steps_an_epoch):
            schedule.note(at, at // steps_an_epoch)
            kept.append(at)

    assert kept[0] == 0
    assert 18 <= len(kept) <= 56
    assert kept[-1] > 50_000


def test_weights_are_those_ahead_of_the_step_and_gradients_those_of_it():
    model = mlp()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    run = train(model)

    for name, parameter in model.named_parameters():
        for signal, tensor in (("weight/histogram", before[name]), ("grad/histogram", parameter.grad)):
            (at, values), bounds = arrays(run, signal, name)[0], expected(tensor)[0]
            assert (at, sum(values[2:])) == (0, tensor.numel())
            assert values[:2] == [pytest.approx(bound.expected, rel=1e-5) for bound in bounds]
            assert values[2:] == expected(tensor)[1]


def test_outputs_are_read_before_something_overwrites_them():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))
    x, _ = data()
    outputs = model[0](x).detach()
    run = train(model)

    assert named(run, "output/histogram") == {"0", "1", "2"}
    assert arrays(run, "output/histogram", "0")[0][1][2:] == expected(outputs)[1]
    assert arrays(run, "output/histogram", "1")[0][1][2:] == expected(outputs.relu())[1]


def test_a_pass_that_does_not_go_backward_is_not_kept():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = data()
    with tracked() as run:
        model(100 * x)
        with torch.no_grad():
            model(100 * x)
        step(model, optimizer, x, y)

    kept = arrays(run, "output/histogram", "0")
    assert len(kept) == 1
    assert kept[0][1][1] < 20


def test_gradients_are_told_without_the_factor_of_a_scaler():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    bare = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), model[0].weight)[0]
    with tracked() as run:
        scaler.scale(nn.functional.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)

    found = arrays(run, "grad/histogram", "0.weight")[0][1]
    assert found[:2] == pytest.approx([bare.min().item(), bare.max().item()], rel=1e-3)


def test_the_gradients_of_a_closure_are_those_of_its_first_backward():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    first = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), model[0].weight)[0]

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with tracked() as run:
        optimizer.step(closure)

    kept = arrays(run, "grad/histogram", "0.weight")
    assert len(kept) == 1
    assert kept[0][1][2:] == expected(first)[1]


@pytest.mark.usefixtures("plenty")
def test_each_epoch_has_a_moment_and_the_end_has_the_weights():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batches = loader(120, batch_size=8)
    with tracked() as run:
        for _ in range(6):
            for x, y in batches:
                step(model, optimizer, x, y)

    steps = [at for at, _ in arrays(run, "weight/histogram", "2.bias")]
    assert [at // 15 for at in steps if at > 15] == [1, 2, 3, 4, 5, 5]
    assert steps[0] == 0
    assert steps[-1] == 89
    assert [at for at, _ in arrays(run, "output/histogram", "1")] == steps[:-1]


def test_what_is_made_on_a_device_is_written_once_it_is_home():
    values = torch.randn(500)
    with tracked() as run:
        probe = run._session.training.probe(Histograms)
        label = histograms._Label("weight/histogram", "far", 3)
        probe._there = {values.device: [(label, binned_there(values)), (label, binned_there(values * math.nan))]}
        probe._send()
        probe.end_epoch()

    (at, found), *others = arrays(run, "weight/histogram", "far")
    assert (at, others) == (3, [])
    assert found[:2] == [pytest.approx(value, rel=1e-5) for value in (values.min().item(), values.max().item())]
    assert sum(found[2:]) == 500


def test_moments_wait_until_they_fit_into_their_time(monkeypatch):
    monkeypatch.setattr(moments, "ALLOWANCE", 0.0)
    monkeypatch.setattr(moments, "SHARE", 0.0)
    run = train(mlp(), steps=40)

    assert [at for at, _ in arrays(run, "weight/histogram", "0.weight")] == [0, 39]


def test_of_many_layers_some_are_followed_from_the_first_to_the_last():
    layers = [nn.Linear(6, 6) for _ in range(150)]
    model = nn.Sequential(*layers, nn.Linear(6, 3))
    run = train(model, steps=2)

    weights, outputs = named(run, "weight/histogram"), named(run, "output/histogram")
    assert len(weights) == len(outputs) == MOST
    assert {"0.weight", "150.weight"} <= weights
    assert {"0", "150"} <= outputs
    assert all(name.endswith(".weight") for name in weights)


@pytest.mark.parametrize("settings", [{"report": {"histograms": False}}, {"observe": "light"}])
def test_there_are_none_where_they_are_switched_off(settings):
    run = train(mlp(), steps=3, settings=settings)

    assert [record for record in records(run) if isinstance(record, Array) and "histogram" in record.signal] == []


def test_an_observed_training_with_histograms_at_every_step_has_the_same_bits(monkeypatch):
    monkeypatch.setattr(histograms.Histograms, "_is_due", lambda self: True)

    def trained():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(144, 3)
        )  # fmt: skip
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        losses = [step(model, optimizer, torch.randn(6, 1, 8, 8), torch.randint(0, 3, (6,))) for _ in range(6)]
        return losses, [value.clone() for value in model.state_dict().values()], torch.get_rng_state()

    losses, weights, state = trained()
    with tracked() as run:
        seen_losses, seen_weights, seen_state = trained()

    assert len(arrays(run, "output/histogram", "0")) == 6
    assert seen_losses == losses
    assert torch.equal(seen_state, state)
    assert all(map(torch.equal, seen_weights, weights))


def test_the_past_that_rules_see_keeps_no_array_that_is_for_the_eye():
    run = train(mlp(), steps=3)
    trace = Trace()
    for record in records(run):
        trace.feed(record)

    assert {signal for signal, _ in trace._arrays} <= {"predictions"}
