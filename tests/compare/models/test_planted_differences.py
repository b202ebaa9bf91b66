"""Pairs of models with one planted difference: the layer that has it is named, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from tests.compare.models import planted
from tests.compare.models.planted import (
    Act,
    Lm,
    Net,
    OwnAttention,
    OwnNorm,
    Square,
    TorchAttention,
    TorchLSTM,
    WrappedLSTM,
    stacked,
)
from tracker.compare.models.comparing import compare_models

_numbers = torch.Generator().manual_seed(0)
TOKENS = torch.randint(0, 50, (4, 10), generator=_numbers)
IMAGES = torch.randn(4, 3, 12, 12, generator=_numbers)
STEPS = torch.randn(5, 7, 6, generator=_numbers)
VECTORS = torch.randn(3, 6, 32, generator=_numbers)
ROWS = torch.randn(9, 16, generator=_numbers)

Make = Callable[[], nn.Module]


def between(middle: nn.Module) -> nn.Module:
    return stacked(nn.Linear(16, 16), middle, nn.Linear(16, 4))


FAULTS: dict[str, tuple[Make, Make, torch.Tensor, str | None, str | None]] = {
    "gelu by tanh": (Lm, lambda: Lm("gelu"), TOKENS, "blocks.1.mlp.act", "blocks.1.mlp.act"),
    "no residual": (Lm, lambda: Lm("no residual"), TOKENS, "blocks.1", "blocks.1"),
    "eps 1e-6 for 1e-5": (Lm, lambda: Lm("eps"), TOKENS, "blocks.1.norm1", "blocks.1.norm1"),
    "post-norm": (Lm, lambda: Lm("post-norm"), TOKENS, "blocks.1", "blocks.1"),
    "attention not scaled": (Lm, lambda: Lm("no scale"), TOKENS, "blocks.1.attn", "blocks.1.attn"),
    "softmax over queries": (Lm, lambda: Lm("softmax dim"), TOKENS, "blocks.1.attn", "blocks.1.attn"),
    "no causal mask": (Lm, lambda: Lm("no mask"), TOKENS, "blocks.1.attn", "blocks.1.attn"),
    "places off by one": (Lm, lambda: Lm("places"), TOKENS, "", None),
    "residual detached": (Lm, lambda: Lm("detached residual"), TOKENS, None, "blocks.1"),
    "attention stops gradients": (Lm, lambda: Lm("stop gradient"), TOKENS, None, "blocks.1.attn"),
    "embedding not tied": (Lm, lambda: Lm("untied"), TOKENS, None, "embed"),
    "padding": (Net, lambda: Net("padding"), IMAGES, "conv2", "conv2"),
    "padding mode": (Net, lambda: Net("padding mode"), IMAGES, "conv2", "conv2"),
    "mean for maximum": (Net, lambda: Net("pool"), IMAGES, "pool", "pool"),
    "written over in place": (Net, lambda: Net("in place"), IMAGES, "", None),
    "gates in another order": (
        lambda: TorchLSTM(6, 8), lambda: WrappedLSTM(6, 8, "ifog"), STEPS, "rnn", "rnn",
    ),
    "torch's attention, no mask": (TorchAttention, lambda: OwnAttention("no mask"), VECTORS, "attn", "attn"),
    "weight not transposed": (
        lambda: between(nn.Linear(16, 16)), lambda: between(Square(16, False)), ROWS, "middle", "middle",
    ),
    "norm by hand, eps 1e-6": (
        lambda: between(nn.LayerNorm(16)), lambda: between(OwnNorm(16, 1e-6)), ROWS, "middle", "middle",
    ),
    "norm by hand, unbiased": (
        lambda: between(nn.LayerNorm(16)), lambda: between(OwnNorm(16, unbiased=True)), ROWS, "middle", "middle",
    ),
    "backward of another function": (lambda: between(Act(True)), lambda: between(Act(False)), ROWS, None, "middle"),
}  # fmt: skip

SAME: dict[str, tuple[Make, Make, torch.Tensor]] = {
    "language model": (Lm, Lm, TOKENS),
    "mask of -1e9": (Lm, lambda: Lm("1e9"), TOKENS),
    "network": (Net, Net, IMAGES),
    "functions for layers": (
        lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)),
        planted.Functional,
        ROWS,
    ),
    "LSTM by hand": (lambda: TorchLSTM(6, 8), lambda: WrappedLSTM(6, 8), STEPS),
    "LSTM of torch": (lambda: WrappedLSTM(6, 8), lambda: TorchLSTM(6, 8), STEPS),
    "attention by hand": (TorchAttention, OwnAttention, VECTORS),
    "attention of torch": (OwnAttention, TorchAttention, VECTORS),
    "fused and transposed attention": (planted.FusedAttention, lambda: planted.Attention(32, 4), VECTORS),
    "linear by hand": (lambda: between(nn.Linear(16, 16)), lambda: between(Square(16, True)), ROWS),
    "norm by hand": (lambda: between(nn.LayerNorm(16)), lambda: between(OwnNorm(16)), ROWS),
    "convolution as a linear layer": (planted.Convolved, planted.Folded, IMAGES),
    "bfloat16": (lambda: between(nn.GELU()).bfloat16(), lambda: between(nn.GELU()).bfloat16(), ROWS.bfloat16()),
}

QUICK = {
    "eps 1e-6 for 1e-5", "no residual", "residual detached", "padding", "written over in place",
    "gates in another order", "weight not transposed", "norm by hand, eps 1e-6", "backward of another function",
    "functions for layers", "LSTM by hand", "attention by hand", "fused and transposed attention", "norm by hand",
}  # fmt: skip
"""One of each kind; the others are tried in the slow tests."""


def some(names: Iterable[str]) -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("fault", some(FAULTS))
def test_the_layer_with_the_planted_difference_is_named(fault: str) -> None:
    make_a, make_b, batch, output, gradient = FAULTS[fault]
    found = compare_models(make_a(), make_b(), batch)

    assert not found.same
    assert (None if found.first_output is None else found.first_output.a) == output
    assert (None if found.first_gradient is None else found.first_gradient.a) == gradient
    assert not found.others


@pytest.mark.parametrize("pair", some(SAME))
def test_two_ways_to_write_one_model_are_the_same(pair: str) -> None:
    make_a, make_b, batch = SAME[pair]
    found = compare_models(make_a(), make_b(), batch)

    assert found.same, str(found)
    assert not found.matching.left_a
    assert not found.matching.left_b


def test_running_statistics_that_move_otherwise_are_seen_in_training_mode() -> None:
    trained = compare_models(Net(), Net("momentum"), IMAGES, train=True)
    evaluated = compare_models(Net(), Net("momentum"), IMAGES)

    assert trained.first_output is None
    assert [one.a for one in trained.buffers] == ["bn1.running_mean", "bn1.running_var"]
    assert evaluated.same
    assert "bn1: momentum is 0.1 in A and 0.01 in B" in evaluated.settings


@pytest.mark.slow
def test_dropout_in_another_place_is_seen_in_training_mode_only() -> None:
    trained = compare_models(Lm(), Lm("dropout"), TOKENS, train=True)

    assert trained.first_output is not None
    assert trained.first_output.a == "blocks.1.mlp"
    assert trained.first_gradient is not None
    assert compare_models(Lm(), Lm(), TOKENS, train=True).same


def test_a_second_difference_is_found_behind_the_first() -> None:
    def three(first: nn.Module, last: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 16), first, nn.Linear(16, 16), last, nn.Linear(16, 4))

    found = compare_models(three(nn.GELU(), nn.ReLU()), three(nn.GELU("tanh"), nn.SiLU()), ROWS)

    assert found.first_output is not None
    assert found.first_output.a == "1"
    assert found.first_gradient is not None
    assert found.first_gradient.a == "3"
    assert [one.a for one in found.others] == ["3"]


def test_what_overflows_in_single_precision_only_is_a_difference() -> None:
    class Naive(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.exp() / x.exp().sum(-1, keepdim=True)

    found = compare_models(between(nn.Softmax(-1)), between(Naive()), 400 * ROWS)

    assert found.first_output is not None
    assert found.first_output.a == "middle"
    assert found.first_output.size.kind == "nonfinite"


def test_the_explanation_names_the_setting_and_the_place() -> None:
    found = compare_models(Lm(), Lm("gelu"), TOKENS)

    assert found.first_output is not None
    assert "approximate is 'none' in A and 'tanh' in B" in found.first_output.hints
    assert found.first_output.at == "the output of blocks.1.mlp.act"
    assert found.first_output.before == "the input of blocks.1.mlp.act"
    assert 5e-5 < found.first_output.size.relative < 1e-3
    assert found.first_output.size.cosine is not None


def test_code_of_a_layers_own_is_placed_between_two_layers() -> None:
    found = compare_models(Lm(), Lm("no scale"), TOKENS)

    assert found.first_output is not None
    assert found.first_output.is_own_code
    assert found.first_output.at == "the input of blocks.1.attn.out"
    assert found.first_output.before == "the output of blocks.1.attn.v"


def test_without_float64_rounding_is_told_by_its_size() -> None:
    class Stubborn(nn.Module):
        def __init__(self, bends: bool) -> None:
            super().__init__()
            self.first, self.last, self.bends = nn.Linear(16, 16), nn.Linear(16, 4), bends

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x) @ torch.eye(16, dtype=torch.float32)
            return self.last(torch.nn.functional.gelu(x, approximate="tanh" if self.bends else "none"))

    same, other = (compare_models(Stubborn(False), Stubborn(bends), ROWS) for bends in (False, True))

    assert same.same
    assert "Not computed in float64" in same.notes[0]
    assert other.first_output is not None
    assert other.first_output.at == "the input of last"


def test_tolerances_that_are_given_decide_alone() -> None:
    make = [lambda: between(nn.GELU()), lambda: between(nn.GELU("tanh"))]

    assert compare_models(make[0](), make[1](), ROWS, atol=0.1).same
    assert not compare_models(make[0](), make[1](), ROWS, rtol=0.0, atol=1e-7).same


def test_a_model_that_cannot_be_set_back_is_not_judged() -> None:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Counting.calls += 1
            return super().forward(x) + Counting.calls

    found = compare_models(Counting(16, 4), Counting(16, 4), ROWS)

    assert not found.same
    assert "from the same weights, batch and random state" in found.unjudged
