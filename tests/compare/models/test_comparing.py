"""What `compare_models` takes, and what its result gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.compare.models.planted import stacked
from tracker.compare.models.checkpoints import compare_checkpoints
from tracker.compare.models.comparing import NotComparable, compare_models
from tracker.errors import ConfigError

ROWS = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))


def mlp(middle: nn.Module | None = None) -> nn.Module:
    return stacked(nn.Linear(16, 16), middle or nn.GELU(), nn.Linear(16, 4))


@dataclass
class Batch:
    input_ids: Tensor
    labels: Tensor | None = None


class Owning(nn.Module):
    """Takes keywords, and returns its own loss."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.embed, self.head, self.smoothing = nn.Embedding(20, 8), nn.Linear(8, 20), smoothing

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.head(self.embed(input_ids))
        if labels is None:
            return {"logits": logits}
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=self.smoothing)
        return {"loss": loss, "logits": logits}


class Two(nn.Module):
    """Takes two tensors by place."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Bilinear(4, 5, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.mix(x, y)


class LastState(nn.Module):
    """Of the two outputs of an LSTM one is not used, and gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x.reshape(4, -1, 4))[1][0][-1])


def test_an_output_that_gets_no_gradient_is_passed_over() -> None:
    found = compare_models(LastState(), LastState(), ROWS[:8])

    assert found.same
    assert "outputs and gradients agree" in str(found)


IDS = torch.randint(0, 20, (2, 5), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("make", "batch", "loss"),
    [
        (Owning, {"input_ids": IDS, "labels": IDS}, None),
        (Owning, Batch(IDS, IDS), None),
        (Two, (ROWS[:, :4], ROWS[:, :5]), None),
        (mlp, (ROWS, torch.arange(9) % 4), F.cross_entropy),
        (mlp, [ROWS, torch.arange(9) % 4], None),
    ],
)
def test_models_are_called_as_their_batch_asks(make: Any, batch: Any, loss: Any) -> None:
    found = compare_models(make(), make(), batch, loss=loss)

    assert found.same
    assert found.rows[0].gradient is not None


def test_a_loss_inside_the_model_is_compared_too() -> None:
    found = compare_models(Owning(), Owning(0.1), {"input_ids": IDS, "labels": IDS})

    assert found.first_output is not None
    assert found.first_output.a == ""
    assert "smoothing is 0.0 in A and 0.1 in B" in found.first_output.hints


def test_another_way_to_call_is_a_function() -> None:
    def call(model: nn.Module, batch: Tensor) -> Tensor:
        return model(batch) - model(-batch)

    assert compare_models(mlp(), mlp(), ROWS, forward=call).same
    assert not compare_models(mlp(), mlp(nn.GELU("tanh")), ROWS, forward=call).same


def test_two_checkpoints_keep_their_weights_and_the_changed_ones_are_sorted() -> None:
    numbers = torch.Generator().manual_seed(3)
    a, b = mlp(), mlp()
    b.load_state_dict(a.state_dict())
    with torch.no_grad():
        b.first.weight += torch.randn(16, 2, generator=numbers) @ torch.randn(2, 16, generator=numbers)  # type: ignore[union-attr, operator]
        b.last.bias += 1e-3  # type: ignore[union-attr, operator]
    found = compare_models(a, b, ROWS, copy_weights=False)

    assert [one.a for one in found.weights] == ["first.weight", "last.bias"]
    assert (found.weights[0].rank, found.weights[0].full_rank) == (2, 16)
    assert found.first_output is not None
    assert found.first_output.a == "first"
    assert [one.a for one in found.others] == ["last"]
    assert compare_models(a, a, ROWS, copy_weights=False).same


def test_checkpoints_are_compared_without_a_model() -> None:
    a = mlp().state_dict()
    b = {f"net.{name}": tensor.clone() for name, tensor in a.items()}
    b["net.last.bias"][0] += 1
    found = compare_checkpoints(a, b)

    assert [one.b for one in found.weights] == ["net.last.bias"]
    assert found.weights[0].size.max_abs == pytest.approx(1)
    assert not found.same


def test_a_frozen_parameter_is_a_difference_of_gradients() -> None:
    b = mlp()
    b.first.weight.requires_grad_(False)  # type: ignore[union-attr]
    found = compare_models(mlp(), b, ROWS)

    assert found.first_output is None
    assert found.first_gradient is not None
    assert found.first_gradient.a == "first"
    assert "first.weight is frozen in B only" in found.first_gradient.hints


def test_models_that_are_frozen_as_a_whole_have_gradients_for_the_comparison() -> None:
    found = compare_models(mlp().requires_grad_(False), mlp().requires_grad_(False), ROWS)

    assert found.same
    assert found.rows[-1].passed_on is not None


@pytest.mark.parametrize("reentrant", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_checkpointed_models_are_compared(reentrant: bool) -> None:
    class Saving(nn.Module):
        def __init__(self, bends: bool) -> None:
            super().__init__()
            self.first, self.last, self.bends = nn.Linear(16, 16), nn.Linear(16, 4), bends

        def forward(self, x: Tensor) -> Tensor:
            from torch.utils.checkpoint import checkpoint

            x = checkpoint(self.first, x.requires_grad_(), use_reentrant=reentrant)
            return self.last(x.tanh() if self.bends else x.relu())

    same, other = (compare_models(Saving(False), Saving(bends), ROWS) for bends in (False, True))

    assert same.same
    assert next(row for row in same.rows if row.a == "first").passed_on is not None
    assert other.first_output is not None
    assert other.first_output.at == "the input of last"


def test_modes_that_are_not_the_same_are_said() -> None:
    found = compare_models(mlp().eval(), mlp(), ROWS)

    assert found.same
    assert "A was in evaluation mode and B in training mode" in found.notes[0]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((3, mlp(), ROWS), ConfigError, "a of type int"),
        ((mlp(), nn.LazyLinear(3), ROWS), ConfigError, "has no shape yet"),
        ((mlp(), mlp(), torch.randn(2, 5)), NotComparable, "A (Sequential) could not be run"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(arguments: Any, error: Any, said: str) -> None:
    with pytest.raises(error) as raised:
        compare_models(*arguments)

    assert said in str(raised.value)


def test_the_result_is_text_and_finite_json() -> None:
    same, other = compare_models(mlp(), mlp(), ROWS), compare_models(mlp(), mlp(nn.GELU("tanh")), ROWS)
    form = json.loads(json.dumps(other.as_json(), allow_nan=False))

    same.check()
    with pytest.raises(AssertionError, match="differ first at middle"):
        other.check()
    assert form["first_output"]["a"] == form["first_gradient"]["a"] == "middle"
    assert [row["a"] for row in form["rows"]] == ["", "first", "middle", "last"]
    assert "seen at the output of middle" in str(other)
    assert str(same).startswith("The same")


def test_sparse_gradients_are_compared() -> None:
    def words() -> nn.Module:
        return nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Linear(8, 3))

    assert compare_models(words(), words(), IDS).same


@pytest.mark.slow
def test_the_pictures_are_written(tmp_path: Path) -> None:
    found = compare_models(mlp(), mlp(nn.GELU("tanh")), ROWS)
    found.save_html(tmp_path / "page.html")
    found.save_png(tmp_path / "page.png")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert page.count("<svg") == 1 + len(found.pictures)
    assert "the output of middle" in page
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert found.pictures[0].title == "the output of middle"


@pytest.mark.slow
def test_names_from_outside_are_escaped_on_the_page(tmp_path: Path) -> None:
    models = [nn.Sequential(), nn.Sequential()]
    for model, layer in zip(models, (nn.GELU(), nn.GELU("tanh")), strict=True):
        model.add_module("<script>alert(1)</script>", layer)
    found = compare_models(*models, ROWS)
    found.save_html(tmp_path / "page.html")

    assert "<script>alert(1)" not in (tmp_path / "page.html").read_text(encoding="utf-8")
