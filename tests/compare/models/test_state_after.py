"""A comparison changes nothing: every bit of both models, their hooks and the random generators are as before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.compare.models.planted import stacked
from tracker.compare.models.comparing import NotComparable, compare_models


class Failing(nn.Linear):
    """Raises in one of its calls; draws random numbers, counts, and keeps what it was given."""

    made = 0

    def __init__(self, at: int = -1, error: BaseException | None = None) -> None:
        super().__init__(16, 16)
        self.calls, self.at, self.error = 0, at, error
        self.kept: list[torch.Tensor] = []
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Failing.made += 1
        if self.error is not None and Failing.made == self.at:
            raise self.error
        self.calls += 1
        self.kept.append(x)
        self.mean = 0.9 * self.mean + x.detach().mean(0).to(self.mean)
        random.random()
        np.random.rand()
        return super().forward(x) + 0 * torch.rand(1, dtype=x.dtype)


def model(middle: nn.Module) -> nn.Module:
    made = stacked(nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Dropout(0.3)), middle, nn.Linear(16, 3))
    made(torch.randn(5, 16)).sum().backward()
    next(made.parameters()).requires_grad_(False)
    made.last.register_forward_hook(lambda *_: None)  # type: ignore[union-attr]
    made.first.eval()  # type: ignore[union-attr]
    return made


def state(*models: nn.Module) -> list[Any]:
    """All that could be changed."""
    found: list[Any] = []
    for one in models:
        for name, tensor in [*one.named_parameters(), *one.named_buffers()]:
            gradient = tensor.grad
            found.append((name, id(tensor), tensor.dtype, tensor.data_ptr(), tensor.detach().numpy().tobytes()))
            found.append((tensor.requires_grad, None if gradient is None else gradient.numpy().tobytes()))
        for name, module in one.named_modules():
            hooks = [
                list(getattr(module, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
            ]
            found.append((name, module.training, hooks, sorted(vars(module)), getattr(module, "calls", None)))
            found.append(len(getattr(module, "kept", ())))
    found += [random.getstate(), torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()]
    found += [torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()]
    return found


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("copies", [False, True])
def test_everything_is_as_before(train: bool, copies: bool) -> None:
    a, b = model(Failing()), model(Failing())
    batch = torch.randn(5, 16), torch.randint(0, 3, (5,))
    before, given = state(a, b), batch[0].clone()
    found = compare_models(a, b, batch, loss=nn.functional.cross_entropy, train=train, copy_weights=copies)

    assert found.rows
    assert state(a, b) == before
    assert torch.equal(batch[0], given)


@pytest.mark.parametrize("at", range(1, 13, 2))
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_everything_is_as_before_when_a_pass_breaks_off(at: int, error: type[BaseException]) -> None:
    broken = error("stop")
    Failing.made = -2  # the two calls that make the models
    a, b = model(Failing(at, broken)), model(Failing(at, broken))
    a.first[1].weight.data.add_(0.5)  # type: ignore[index, union-attr]
    b.last.bias.data.add_(1)  # type: ignore[union-attr, operator]
    batch = torch.randn(5, 16)
    before = state(a, b)
    raised: BaseException | None = None
    try:
        compare_models(a, b, batch, copy_weights=False)
    except (NotComparable, KeyboardInterrupt) as stopped:
        raised = stopped

    assert raised is None or broken in (raised, raised.__cause__)
    assert raised is not None or error is ValueError or Failing.made < at
    assert state(a, b) == before


def test_a_hook_of_the_users_can_still_be_removed() -> None:
    a, b = nn.Linear(4, 3), nn.Linear(4, 3)
    called: list[str] = []
    handle = a.register_forward_hook(lambda *_: called.append("hook"))
    compare_models(a, b, torch.randn(2, 4))
    handle.remove()
    called.clear()
    a(torch.randn(2, 4))

    assert called == []


def test_no_gradient_mode_of_the_caller_stays() -> None:
    with torch.no_grad():
        found = compare_models(nn.Linear(4, 3), nn.Linear(4, 3), torch.randn(2, 4))
        left = torch.is_grad_enabled()

    assert not left
    assert found.rows[0].gradient is not None
