"""A backward that is not the derivative of its forward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text, texts


class WrongGradient(Rule):
    """A function with a backward of its own, or a model that writes into hidden tensors, has gradients that are wrong.

    ## Why it matters
    Autograd trusts a custom backward. With a sign, a factor or a mask amiss the training still runs, and often still
    learns, only worse than it could.

    ## What to try
    - Work the backward out again: a factor, a sign, a mask, a sum over the batch, the gradient that comes from behind.
    - Have torch.autograd.gradcheck check the function in float64.
    - Write in place only to what autograd can see: never to x.data, x.detach(), or below no_grad to what is trained.

    ## When it is wrong
    Some gradients are other than the derivative on purpose. It is not said of a function that hands its input on
    (gradient reversal, scaling, clipping), of one whose output is made of steps (rounding, sign, spikes), of one that
    lets gradients of one sign through where it is clamped, nor of one whose name says `straight through` or
    `surrogate`. Entries at a kink are left out.

    ## References
    - Karpathy, CS231n, "Gradient checks": a relative error above 1e-2 usually means that the gradient is wrong.
    - PyTorch, `torch.autograd.gradcheck`.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/gradient-check",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    tolerance: float = Field(1e-2, gt=0, lt=1)
    """Largest relative error of a gradient checked in float64. CS231n: 1e-2."""
    coarse_tolerance: float = Field(0.1, gt=0, lt=1)
    """The same in float32, where differences have few digits."""
    min_entries: int = Field(2, ge=1)
    """Entries that must be wrong, unless there are fewer."""

    healthy = {
        "facts": {
            "drill/gradient-check": {
                "functions": [{"name": "Swish", "dtype": "float64", "error": 2e-9, "entries": 2,
                               "errors": [2e-9, 1e-9]}],
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/gradient-check": {
                "functions": [{"name": "Square", "dtype": "float64", "error": 0.5, "entries": 3,
                               "errors": [0.5, 0.5, 0.5], "analytic": 0.31, "numeric": 0.62}],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/gradient-check"))
        compared = number(told.get("entries")) or any(
            number(row.get("entries")) for row in tables(told.get("functions"))
        )
        if not compared:
            raise NotApplicable("no entry of a gradient could be compared with a difference")
        for row in tables(told.get("functions")):
            if self.is_wrong(row):
                yield self._of_function(row)
        writes = texts(told.get("in_place"))
        rows = [{"dtype": told.get("dtype"), **row} for row in tables(told.get("worst"))]
        wrong = [row for row in rows if wrong_entries(row, self.tolerance, self.coarse_tolerance)]
        if writes and wrong:
            yield self._of_writing(wrong[0], len(wrong), writes)

    def is_wrong(self, row: Mapping[str, Json]) -> bool:
        """Whether a function checked alone has a gradient that is wrong, and nothing says that it is meant."""
        wrong = wrong_entries(row, self.tolerance, self.coarse_tolerance)
        enough = min(self.min_entries, number(row.get("entries")) or 0)
        return 0 < enough <= wrong and not purpose_of(row, self.tolerance)

    def _of_function(self, row: Mapping[str, Json]) -> Finding:
        wrong = wrong_entries(row, self.tolerance, self.coarse_tolerance)
        bar = self.coarse_tolerance if text(row.get("dtype")) == "float32" else self.tolerance
        error, entries = number(row.get("error")) or 0.0, number(row.get("entries")) or 0
        name = text(row.get("name"))
        return Finding(
            message=(
                f"checked alone, {wrong} of {entries:.0f} entries of its gradient are wrong, by up to {error:.2g} of "
                f"their size{_pair(row)}; below {bar:g} expected"
            ),
            advice=(
                f"Work out {name}.backward again: {_guess(row)}.",
                f"Check it with torch.autograd.gradcheck({name}.apply, inputs in float64).",
            ),
            subject=name,
            evidence={"error": error, "wrong": float(wrong)},
        )

    def _of_writing(self, row: Mapping[str, Json], tensors: int, writes: list[str]) -> Finding:
        error = number(row.get("error")) or 0.0
        return Finding(
            message=(
                f"the gradient of {tensors} tensors is wrong, by up to {error:.2g} of its size{_pair(row)}, and the "
                f"forward pass writes {len(writes)} times ({', '.join(dict.fromkeys(writes))}) into memory that "
                "autograd does not watch"
            ),
            advice=("Write x = x.clamp(...) in place of x.data.clamp_(...), and the like.",),
            subject=text(row.get("name")),
            evidence={"error": error, "writes": float(len(writes))},
        )


def wrong_entries(row: Mapping[str, Json], tolerance: float, coarse: float) -> int:
    """Entries with a larger error than is tolerated in the type that they were checked in."""
    errors = row.get("errors")
    bar = coarse if text(row.get("dtype")) == "float32" else tolerance
    found = [number(one) for one in errors] if isinstance(errors, list) else []
    return sum(error is not None and error > bar for error in found)


def purpose_of(row: Mapping[str, Json], tolerance: float) -> str:
    """Why a gradient is other than the derivative on purpose; empty when nothing says so."""
    name = text(row.get("name"))
    own = number(row.get("own_upstream"))
    if row.get("identity") is True:
        return "it hands its input on, and changes the gradient only"
    if any(_is_staircase(one) for one in tables(row.get("inputs"))):
        return "its output is made of steps, and the gradient goes straight through"
    if row.get("gated") is True:
        return "where it is clamped it lets gradients of one sign through"
    if name.lower().startswith("ste") or any(word in name.lower() for word in ("straight", "through", "surrogate")):
        return "its name says so"
    if own is not None and own < tolerance:
        return "it is right for the gradient that the training gives it, and for no other"
    return ""


def _is_staircase(row: Mapping[str, Json]) -> bool:
    """Whether nearly no entry of an input changes the output: the largest one may, where it scales the steps."""
    flat, moving, sloped = (number(row.get(key)) or 0 for key in ("flat", "moving", "sloped"))
    return flat > 0 and not moving and flat >= _STEPS * sloped


_STEPS = 8
"""Entries on a step for each that moves the steps themselves. A mask the wrong way round has about as many of both."""


def _pair(row: Mapping[str, Json]) -> str:
    analytic, numeric = number(row.get("analytic")), number(row.get("numeric"))
    if analytic is None or numeric is None:
        return ""
    return f" (backward {analytic:.4g}, difference {numeric:.4g})"


def _guess(row: Mapping[str, Json]) -> str:
    analytic, numeric = number(row.get("analytic")), number(row.get("numeric"))
    if analytic is None or numeric is None or not numeric:
        return "it gives a gradient where the output does not change, as without the mask of a ReLU"
    if not analytic:
        return "it gives no gradient where the output changes"
    ratio = analytic / numeric
    if ratio < 0:
        return "a sign is amiss"
    return f"it is {ratio:.3g} times the derivative there: a factor, a mask or a sum may be amiss"
