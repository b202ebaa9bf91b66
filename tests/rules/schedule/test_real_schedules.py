"""Rates and schedules in small real trainings."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.optim import lr_scheduler

from tests.trainings import events, fault_parts, mlp, tracked
from tracker.rules import Registry

OURS = {name for name, rule in Registry.discover().rules.items() if rule.family() == "schedule"}


def headlines(rate, schedule=None, per="epoch", epochs=10, optimizer=torch.optim.Adam):
    """The rules that are headlines of WARNING or worse of ten epochs of eight steps, the first one first."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(128, 6, generator=generator)
    y = x[:, :3].argmax(1)
    model = mlp()
    with tracked() as run:
        stepping = optimizer(model.parameters(), lr=rate)
        schedule = schedule(stepping) if schedule else None
        for _ in range(epochs):
            for at in torch.randperm(128, generator=generator).split(16):
                stepping.zero_grad()
                functional.cross_entropy(model(x[at]), y[at]).backward()
                stepping.step()
                if per == "step" and schedule:
                    schedule.step()
            if per == "epoch" and schedule:
                schedule.step()
            run.epoch()
    assert fault_parts(run) == []
    findings = events(run, "verdict")[-1].data["findings"]
    return [one["rule"] for one in findings if one["severity"] != "info"]


def first_group_only(parameters, lr):
    """A group each for the last layer and those before it, of which the second one keeps the rate it began with."""
    *body, weight, bias = parameters
    optimizer = torch.optim.Adam([{"params": [weight, bias]}, {"params": body}], lr=0.0)
    optimizer.param_groups[0]["lr"] = lr
    return optimizer


@pytest.mark.parametrize(
    ("case", "rule"),
    [
        ({"rate": 3.0}, "learning-rate-too-high"),
        ({"rate": 1e-6}, "learning-rate-too-low"),
        ({"rate": 1e-2, "schedule": lambda o: lr_scheduler.LambdaLR(o, lambda s: s // 40), "per": "step"},
         "learning-rate-zero"),
        ({"rate": 1e-2, "optimizer": first_group_only}, "learning-rate-zero"),
        ({"rate": 1e-2, "schedule": lambda o: lr_scheduler.CosineAnnealingLR(o, 10), "per": "step"},
         "scheduler-step-unit"),
        ({"rate": 1e-2, "schedule": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=80), "per": "epoch"},
         "scheduler-step-unit"),
        ({"rate": 1e-2, "schedule": lambda o: lr_scheduler.StepLR(o, 3), "per": "never"}, "scheduler-never-steps"),
    ],
)  # fmt: skip
def test_a_wrong_rate_or_schedule_is_the_first_headline(case, rule):
    torch.manual_seed(0)

    assert headlines(**case)[0] == rule


@pytest.mark.parametrize(
    "case",
    [
        {"rate": 1e-2},
        {"rate": 0.1, "optimizer": torch.optim.SGD},
        {"rate": 1e-2, "schedule": lambda o: lr_scheduler.CosineAnnealingLR(o, 10)},
        {"rate": 1e-2, "schedule": lambda o: lr_scheduler.OneCycleLR(o, 1e-2, total_steps=80), "per": "step"},
        {"rate": 1e-2, "schedule": lambda o: lr_scheduler.LambdaLR(o, lambda s: min(s, 8) / 8), "per": "step"},
    ],
)
def test_usual_rates_and_schedules_are_healthy(case):
    torch.manual_seed(0)

    assert OURS.isdisjoint(headlines(**case))
