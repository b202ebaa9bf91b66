"""What is told of a focal loss: whether the samples that are known weigh least, as they are to, or most."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tests.probes.test_between import MASK, ROWS, Y, told

HALVES = (ROWS % 2).float()


def picked(outputs):
    return functional.log_softmax(outputs, 1).gather(1, Y[:, None]).squeeze(1)


def chosen(outputs):
    p = torch.sigmoid(outputs[:, 0])
    return torch.where(HALVES == 1, p, 1 - p)


def by_losses(outputs, power, is_right):
    each = functional.cross_entropy(outputs, Y, reduction="none")
    p = torch.exp(-each)
    return (0.25 * (1 - p if is_right else p) ** power * each).mean()


def by_binary_losses(outputs, power, is_right):
    each = functional.binary_cross_entropy_with_logits(outputs[:, 0], HALVES, reduction="none")
    p = torch.exp(-each)
    weights = torch.where(HALVES == 1, 0.25, 0.75)
    return (weights * torch.pow(1 - p if is_right else p, power) * each).sum() / len(each)


def by_logarithms(outputs, power, is_right):
    log_p = picked(outputs)
    p = log_p.exp()
    return -((1 - p if is_right else p) ** power * log_p).mean()


def by_one_hot_targets(outputs, power, is_right):
    p = outputs.softmax(1).clamp(1e-7, 1 - 1e-7)
    return -(MASK * (1 - p if is_right else p).pow(power) * p.log()).sum(1).mean()


def by_choice(outputs, power, is_right):
    p = chosen(outputs)
    return -((1 - p if is_right else p) ** power * torch.log(p + 1e-8)).mean()


def by_sum(outputs, power, is_right):
    p = torch.sigmoid(outputs[:, 0]).clamp(1e-6, 1 - 1e-6)
    p = p * HALVES + (1 - p) * (1 - HALVES)
    return (-(0.25 + HALVES) * (1 - p if is_right else p).pow(power) * p.log()).mean()


def by_both_sides(outputs, power, is_right):
    p = torch.sigmoid(outputs[:, 0])
    yes, no = (1 - p, p) if is_right else (p, 1 - p)
    return -(HALVES * yes**power * p.log() + (1 - HALVES) * no**power * (1 - p).log()).mean()


@pytest.mark.parametrize(
    "loss_of", [by_losses, by_binary_losses, by_logarithms, by_one_hot_targets, by_choice, by_sum, by_both_sides]
)
def test_a_power_of_what_is_known_is_told_from_one_of_what_is_not(loss_of):
    assert told(lambda outputs: loss_of(outputs, 2.0, is_right=False))["upended"] == 2.0
    assert told(lambda outputs: loss_of(outputs, 2.0, is_right=True))["upended"] is None


def thin_plate(r):
    return (r**2 * torch.log(r + 1e-6)).mean()


def inverse(log_p):
    return -(log_p.exp() ** -1.0 * log_p).mean()


def hard(each):
    return (each.exp() ** 0.5 * each).mean()


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda o: -(o.softmax(1) * o.log_softmax(1)).sum(1).mean(),
        lambda o: (1 - o.softmax(1)[ROWS, Y] ** 0.7).mean() / 0.7,
        lambda o: -((o.detach().softmax(1) ** 2) * o.log_softmax(1)).sum(1).mean(),
        lambda o: ((o[:, 0] - 1) ** 2 * picked(o)).mean(),
        lambda o: thin_plate(o.norm(dim=1)),
        lambda o: inverse(picked(o)),
        lambda o: -(picked(o.roll(1, 0)).exp() ** 0.5 * picked(o)).mean(),
        lambda o: hard(functional.cross_entropy(o, Y, reduction="none")),
        lambda o: -hard(o),
    ],
    ids=[
        "entropy", "generalised cross entropy", "soft targets", "regression", "thin plate", "inverse",
        "another sample's probability", "hard samples", "no logarithm",
    ],
)  # fmt: skip
def test_other_products_of_powers_and_logarithms_are_no_focal_loss(loss_of):
    assert told(loss_of)["upended"] is None
