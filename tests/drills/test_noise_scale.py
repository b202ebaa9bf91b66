"""The gradient noise scale from parts of one batch, against the gradients of single samples."""

import pytest
import torch
from torch import nn

from tracker.drilling.preflight import preflight
from tracker.drills.noise_scale import NoiseScale

NAME = NoiseScale.name


def _drilled(model, loss, batch):
    found = preflight(model, loss, batch, only=(NAME,), log=False)
    fact = next((one.value for one in found._judged.records if getattr(one, "name", "") == f"drill/{NAME}"), None)
    return found.row(NAME), fact


def _regression(noise):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(512, 6, generator=generator)
    targets = inputs @ torch.ones(6, 1) + noise * torch.randn(512, 1, generator=generator)
    model = nn.Linear(6, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    return model, inputs, targets


def _by_sample(model, inputs, targets):
    """Variance and noise scale of a linear regression, from the gradient of each of its samples by hand."""
    errors = 2 * (model(inputs) - targets).detach()
    gradients = torch.cat([errors * inputs, errors], 1).double()
    variance = gradients.var(0, unbiased=True).sum()
    return float(variance), float(variance / (gradients.mean(0).square().sum() - variance / len(inputs)))


@pytest.mark.parametrize("noise", [0.1, 8.0])
def test_it_agrees_with_the_gradients_of_single_samples(noise):
    model, inputs, targets = _regression(noise)
    variance, expected = _by_sample(model, inputs, targets)
    row, fact = _drilled(model, nn.MSELoss(), (inputs, targets))

    assert row.status == "passed"
    assert expected / 2 < fact["scale"] < expected * 2
    assert variance / 2 < fact["variance"] < variance * 2
    assert fact["parts"] == 8


def test_a_sum_over_the_samples_has_the_noise_of_their_mean():
    model, inputs, targets = _regression(1.0)
    _, mean = _drilled(model, nn.MSELoss(), (inputs, targets))
    _, whole = _drilled(model, nn.MSELoss(reduction="sum"), (inputs, targets))

    assert whole["scale"] == pytest.approx(mean["scale"], rel=1e-3)


def test_samples_that_are_all_the_same_have_no_noise():
    model, inputs, targets = _regression(1.0)
    _, fact = _drilled(model, nn.MSELoss(), (inputs[:1].repeat(16, 1), targets[:1].repeat(16, 1)))

    assert fact["scale"] == pytest.approx(0, abs=1e-4)


def test_a_batch_far_below_the_scale_is_a_note_and_no_failure():
    model, inputs, _ = _regression(1.0)
    generator = torch.Generator().manual_seed(3)
    row, fact = _drilled(
        model, nn.MSELoss(), (inputs[:64], 0.1 * inputs[:64, :1] + torch.randn(64, 1, generator=generator))
    )

    assert row.status != "failed"
    assert fact["scale"] is None or fact["scale"] > 64


@pytest.mark.parametrize(
    ("loss", "size", "reason"),
    [
        (lambda out, to: torch.logsumexp(out @ out.T, 1).mean(), 16, "is not known as one of which every sample"),
        (nn.MSELoss(), 4, "the batch has 4 samples"),
    ],
)
def test_what_cannot_be_taken_apart_is_skipped(loss, size, reason):
    model, inputs, targets = _regression(1.0)
    row, _ = _drilled(model, loss, (inputs[:size], targets[:size]))

    assert row.status == "skipped"
    assert reason in row.says
