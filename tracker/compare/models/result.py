"""What a comparison of two models came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .matches import Matching
from .sizes import Size
from .weights import WeightDifference

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Row:
    """One layer, in both models. Sizes are None where there was nothing to compare."""

    a: str
    """Name in A; empty for the model as a whole."""
    b: str
    kind_a: str
    """Its class in A."""
    kind_b: str
    call: int
    """0 for the first call of the layer."""
    input: Size | None
    """Difference of what went in, in the models' own precision."""
    output: Size | None
    gradient: Size | None
    """Difference of the gradients that arrive at the output."""
    passed_on: Size | None
    """Difference of the gradients that the layer passes on: to its input and its own parameters, the larger one."""
    exact_input: float | None
    """Relative difference in float64; None where that could not be used."""
    exact_output: float | None
    exact_gradient: float | None
    output_differs: bool
    """Whether the difference of the outputs is more than rounding."""
    gradient_differs: bool
    """Whether that of the gradients that it is given, or passes on, is."""

    def as_json(self) -> dict[str, Any]:
        """The machine form."""
        sizes = {
            name: None if size is None else size.as_json()
            for name, size in (
                ("input", self.input),
                ("output", self.output),
                ("gradient", self.gradient),
                ("passed_on", self.passed_on),
            )
        }
        rest = {key: value for key, value in self.__dict__.items() if key not in sizes}
        return {**rest, **sizes}


@dataclass(frozen=True)
class First:
    """The layer where a difference begins."""

    a: str
    """Its name in A; empty for what the model itself does outside of its layers."""
    b: str
    kind_a: str
    kind_b: str
    at: str
    """Where it was seen first: `the output of blocks.0.act`, `the gradient of fc.weight`."""
    is_own_code: bool
    """Whether it is the layer's own code, not a layer in it."""
    before: str
    """The last place that still agrees; empty where there is none before."""
    size: Size
    """In the models' own precision."""
    exact: float | None
    """Relative difference in float64; None where that could not be used."""
    hints: tuple[str, ...] = ()
    """Settings of the layer that are not the same, parameters without a partner, writing into the input."""

    @property
    def title(self) -> str:
        """`blocks.0.act (GELU)`."""
        return f"{self.a} ({self.kind_a})" if self.a else f"the model itself ({self.kind_a})"

    def as_json(self) -> dict[str, Any]:
        """The machine form."""
        return {**self.__dict__, "size": self.size.as_json(), "hints": list(self.hints)}


@dataclass(frozen=True)
class Picture:
    """The first outputs that differ, of both models, for drawing."""

    title: str
    a: torch.Tensor
    """On the CPU, in float64."""
    b: torch.Tensor
    """In the shape of `a`."""


@dataclass(frozen=True)
class ModelComparison:
    """What is the same in two models, and the first layer that is not. As text it is a table."""

    rows: tuple[Row, ...]
    """One for each call of a layer that both models have, in the order of A's forward pass."""
    first_output: First | None
    """The first layer whose output differs though what went into it does not; None where all agree."""
    first_gradient: First | None
    """From the last layer backwards, the first that gives another gradient though what reaches it is the same."""
    others: tuple[First, ...] = ()
    """Further layers that differ on their own, each looked at with A's values in and around it."""
    weights: tuple[WeightDifference, ...] = ()
    """Tensors that are not the same, the most different first; only where A's were not put into B."""
    buffers: tuple[WeightDifference, ...] = ()
    """Buffers that differ behind the pass: running statistics, in training mode."""
    matching: Matching = field(default_factory=Matching)
    """Which tensor is which, and those without a partner."""
    settings: tuple[str, ...] = ()
    """Settings of layers of one class that are not the same, whether or not they matter in this mode."""
    notes: tuple[str, ...] = ()
    unjudged: str = ""
    """Why nothing can be said; empty where it can."""
    judged_by: str = ""
    """What counts as a real difference, in words."""
    pictures: tuple[Picture, ...] = ()

    @property
    def same(self) -> bool:
        """True when outputs, gradients, buffers (and, of checkpoints, weights) differ by rounding at most."""
        found = self.first_output or self.first_gradient or self.buffers or self.weights
        return not found and not self.unjudged

    @property
    def summary(self) -> str:
        """The result in one or two sentences."""
        from .table import summary

        return summary(self)

    def text(self) -> str:
        """The whole, as plain text."""
        from .table import text

        return text(self)

    def as_json(self) -> dict[str, Any]:
        """The machine form: finite JSON."""
        return {
            "schema": 1,
            "same": self.same,
            "unjudged": self.unjudged,
            "summary": self.summary,
            "first_output": None if self.first_output is None else self.first_output.as_json(),
            "first_gradient": None if self.first_gradient is None else self.first_gradient.as_json(),
            "others": [one.as_json() for one in self.others],
            "rows": [row.as_json() for row in self.rows],
            "weights": [one.as_json() for one in self.weights],
            "buffers": [one.as_json() for one in self.buffers],
            "matched": [
                {"a": list(one.a), "b": list(one.b), "by": one.by, "transposed": one.flips_a or one.flips_b}
                for one in self.matching.matches
            ],
            "unmatched": {
                "a": _shapes(self.matching.left_a, self.matching.buffers_a),
                "b": _shapes(self.matching.left_b, self.matching.buffers_b),
            },
            "settings": list(self.settings),
            "notes": list(self.notes),
            "judged_by": self.judged_by,
        }

    def check(self) -> None:
        """Raises `AssertionError`, with the table, unless the two are the same."""
        if not self.same:
            raise AssertionError(f"the models are not the same\n\n{self}")

    def save_html(self, path: str | Path) -> None:
        """Writes a page with the table and the pictures: one file that needs nothing else."""
        from ...report.models.page import models_page

        Path(path).write_text(models_page(self), encoding="utf-8")

    def save_png(self, path: str | Path) -> None:
        """Writes the pictures: the difference by depth, and maps of the first outputs that differ."""
        from ...report.models.pictures import save_png

        save_png(self, Path(path))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<ModelComparison same={self.same}: {self.summary}>"


def _shapes(*named: dict[str, tuple[int, ...]]) -> dict[str, Sequence[int]]:
    return {name: list(shape) for one in named for name, shape in one.items()}
