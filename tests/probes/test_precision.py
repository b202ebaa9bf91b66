"""Mixed precision: the scale, skipped steps, autocast, types of parameters."""

import pytest
import torch
from torch.nn import functional

from tests.trainings import data, events, facts, fault_parts, mlp, readings, tracked


def scaled_steps(optimizer, model, n, scaler, bad=(), unscale=False, clip=False):
    x, y = data()
    for number in range(n):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        if number in bad:
            model[0].weight.grad[0, 0] = torch.inf
        if unscale:
            scaler.unscale_(optimizer)
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_skips_are_no_steps(fused):
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
    with tracked() as run:
        scaled_steps(optimizer, model, 12, scaler, bad=(0, 5))

    assert run._session.step == 10
    assert [(event.step, event.data["counted"]) for event in events(run, "step_skipped")] == [(0, False), (4, False)]
    # Halved at the first backward, doubled after four good ones, halved, and doubled again.
    assert readings(run, "grad_scale") == [(0, 1024.0), (0, 512.0), (4, 1024.0), (4, 512.0), (8, 1024.0)]
    assert scaler.get_scale() == 1024.0
    assert fault_parts(run) == []


def test_the_settings_of_scaler_and_autocast_and_the_types_of_parameters_are_told():
    model = mlp()
    model[2].to(torch.bfloat16)
    model.forward = lambda x: model[2](model[1](model[0](x)).to(torch.bfloat16)).float()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with tracked() as run:
        scaled_steps(optimizer, model, 2, torch.amp.GradScaler("cpu", init_scale=64.0))

    assert facts(run, "precision")[-1] == {
        "scaler": {"init_scale": 64.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000},
        "autocast": [{"device": "cpu", "dtype": "bfloat16"}],
        "parameters": {"float32": 2, "bfloat16": 2},
    }


def test_a_scaler_that_is_switched_off_is_no_scaler():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with tracked() as run:
        scaled_steps(optimizer, model, 2, torch.amp.GradScaler("cpu", enabled=False), unscale=True)

    assert facts(run, "precision")[-1]["scaler"] is None
    assert readings(run, "grad_scale") == []
    assert facts(run, "loop")[-1]["order"] == ["zero_grad", "forward", "backward", "step"]


@pytest.mark.parametrize("unscale", [False, True])
def test_clipping_ahead_of_unscaling_is_told(unscale):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with tracked() as run:
        scaled_steps(optimizer, model, 3, torch.amp.GradScaler("cpu"), unscale=unscale, clip=True)

    assert [clip["before_unscale"] for clip in facts(run, "clipping")[-1]] == [not unscale]
    between = ["unscale", "clip", "step"] if unscale else ["clip", "unscale", "step"]
    assert facts(run, "loop")[-1]["order"] == ["zero_grad", "forward", "backward", *between]


def test_a_scaler_of_ones_own_is_followed():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    class Old(torch.amp.GradScaler):
        def __init__(self):
            super().__init__("cpu", init_scale=8.0)

    scaler = Old()
    with tracked() as run:
        for _ in range(2):
            with torch.autocast("cpu"):
                loss = functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()

    assert facts(run, "precision")[-1]["scaler"]["init_scale"] == 8.0
    assert facts(run, "precision")[-1]["autocast"] == [{"device": "cpu", "dtype": "bfloat16"}]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_function_with_autocast_can_still_be_scripted():
    def half(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return x @ x

    with tracked():
        scripted = torch.jit.script(half)
        found = scripted(torch.eye(3))

    assert found.dtype == torch.bfloat16
