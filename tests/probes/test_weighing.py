"""Losses of samples that are weighed each with each, and what looks like them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tracker.probes.weighing import weighed

N = 6
SAME = torch.tensor([1.0, 0, 1, 1, 0, 0])
COLUMN = SAME[:, None]


def outputs(n=N, width=1):
    return torch.linspace(-1, 1, n * width).reshape(n, width).requires_grad_() * 1.5


@pytest.mark.parametrize(
    ("loss_of", "by"),
    [
        (lambda d: (SAME * d**2 + (1 - SAME) * torch.relu(2 - d) ** 2).mean(), "product"),
        (lambda d: -(d * SAME).sum() / N + 0.1 * d.pow(2).mean(), "product"),
        (lambda d: -torch.min(d.exp() * SAME, d.exp().clamp(0.8, 1.2) * SAME).mean(), "product"),
        (lambda d: (d.squeeze(1) * COLUMN).mean(), "product"),
        (lambda d: (d.pow(2) / (1 + SAME)).sum(1).mean().sqrt(), "quotient"),
        (lambda d: torch.where(SAME > 0, d**2, torch.relu(2 - d)).mean(), "choice"),
        (lambda d: (functional.mse_loss(d, COLUMN, reduction="none") * SAME).sum() / SAME.sum(), "product"),
    ],
)
def test_numbers_of_samples_that_meet_a_row_of_weights_are_told(loss_of, by):
    found = weighed(loss_of(outputs()).grad_fn)

    assert found is not None
    assert (found["by"], found["result"]) == (by, [N, N])


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda d: (COLUMN * d**2 + (1 - COLUMN) * torch.relu(2 - d) ** 2).mean(),
        lambda d: (SAME * d.squeeze(1) ** 2).mean(),
        lambda d: torch.where(COLUMN > 0, d**2, torch.relu(2 - d)).mean(),
        lambda d: torch.relu(1 - (d - d.t())).mean(),
        lambda d: ((d - d.t()) ** 2 * COLUMN.eq(COLUMN.t())).mean(),
        lambda d: (d @ d.t()).softmax(1).mul(torch.eye(N)).sum(),
        lambda d: (d * SAME[None, :]).mean(),
        lambda d: ((d * SAME) - torch.ones(N, N)).pow(2).mean(),
        lambda d: (d * SAME).logsumexp(1).mean(),
        lambda d: (d * torch.tensor([0.5])).mean() * 3,
    ],
)
def test_what_is_meant_each_with_each_or_fits_is_not(loss_of):
    assert weighed(loss_of(outputs()).grad_fn) is None


def test_weights_of_classes_are_none_of_samples():
    assert weighed((outputs(width=N) * SAME).mean().grad_fn) is None
    assert weighed((outputs(1) * torch.ones(1)).mean().grad_fn) is None
