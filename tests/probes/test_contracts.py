"""What is told of labels that a loss wants as -1 and 1, or as 0 and 1."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import data, facts, fault_parts, tracked

X = data()[0]
HALVES = (torch.arange(24) % 2).float()
SIGNS = 2 * HALVES - 1


def told(loss_of, steps=4):
    """The last fact `contracts` of a run that trains with `loss_of(outputs, outputs of another head)`."""
    torch.manual_seed(0)
    one, other = nn.Linear(6, 4), nn.Linear(6, 4)
    optimizer = torch.optim.SGD([*one.parameters(), *other.parameters()], 0.01)
    with tracked() as run:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(one(X), other(X)).backward()
            optimizer.step()
    found = facts(run, "contracts")

    assert fault_parts(run) == []
    return found[-1] if found else None


LOSSES = {
    "cosine_embedding_loss": lambda y: lambda a, b: functional.cosine_embedding_loss(a, b, y, margin=0.2),
    "hinge_embedding_loss": lambda y: lambda a, b: functional.hinge_embedding_loss((a - b).norm(dim=1), y),
    "margin_ranking_loss": lambda y: lambda a, b: functional.margin_ranking_loss(a[:, 0], b[:, 0], y, margin=1.0),
    "soft_margin_loss": lambda y: lambda a, b: functional.soft_margin_loss(a[:, 0], y),
    "hinge loss": lambda y: lambda a, b: torch.relu(1 - y * a[:, 0]).pow(2).mean() + 0.1 * functional.mse_loss(b, a),
    "logistic loss": lambda y: lambda a, b: torch.log1p(torch.exp(-y * a[:, 0])).mean(),
    "exponential loss": lambda y: lambda a, b: torch.exp(-y * a[:, 0]).mean(),
}  # fmt: skip


@pytest.mark.parametrize("function", LOSSES)
def test_labels_of_0_and_1_are_told_from_signs(function):
    (halves,) = told(LOSSES[function](HALVES))
    (signs,) = told(LOSSES[function](SIGNS))

    assert halves["function"] == signs["function"] == function
    assert halves["expected"] == signs["expected"] == "signs"
    assert (halves["positive"], halves["negative"], halves["zero"]) == (48, 0, 48)
    assert (sum(signs[key] for key in ("positive", "negative")), signs["zero"]) == (96, 0)
    assert min(signs["positive"], signs["negative"]) == 48


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda a, b: torch.relu(HALVES * (1 + a[:, 0] - b[:, 0])).mean(),
        lambda a, b: functional.softplus(HALVES * a[:, 0]).mean(),
        lambda a, b: (HALVES * (a - b).norm(dim=1) ** 2 + (1 - HALVES) * torch.relu(2 - (a - b).norm(dim=1))).mean(),
        lambda a, b: functional.relu(1 - a).mean() + functional.relu(1 + b).mean(),
        lambda a, b: functional.mse_loss(HALVES[:, None] * a, b.detach()),
    ],
    ids=["masked hinge", "masked softplus", "contrastive", "two sides of a hinge", "masked distance"],
)
def test_masks_are_no_labels(loss_of):
    assert told(loss_of) is None


@pytest.mark.parametrize(("labels", "is_told"), [(SIGNS, True), (HALVES, False)])
def test_signs_in_a_binary_loss_by_hand_are_told(labels, is_told):
    def loss_of(a, b):
        p = torch.sigmoid(a[:, 0])
        return -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()

    found = told(loss_of)

    assert (found is not None) == is_told
    if found:
        assert (found[0]["expected"], found[0]["positive"], found[0]["negative"]) == ("shares", 48, 48)


@pytest.mark.parametrize(
    ("loss_of", "given"),
    [
        (lambda a, b: functional.poisson_nll_loss(a[:, 0].exp(), HALVES), "exp"),
        (lambda a, b: functional.poisson_nll_loss(functional.softplus(a[:, 0]), HALVES), "softplus"),
        (lambda a, b: functional.poisson_nll_loss(a[:, 0], HALVES), None),
        (lambda a, b: functional.poisson_nll_loss(a[:, 0].exp(), HALVES, log_input=False), None),
    ],
)
def test_rates_where_their_logarithms_are_wanted_are_told(loss_of, given):
    found = told(loss_of)

    assert (found[0]["given"] if found else None) == given
