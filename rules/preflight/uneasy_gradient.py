"""Gradients that are not quite, or on purpose not, the derivative."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text, texts
from .wrong_gradient import WrongGradient, purpose_of, wrong_entries


class UneasyGradient(Rule):
    """A gradient is not the derivative of what is computed, for a reason that may be meant.

    ## Why it matters
    What descends is not the loss that is shown. That is how straight-through estimators, stopped gradients and
    gradient reversal work, and how a `detach()` in the wrong place goes unnoticed.

    ## What to try
    - See that each detach(), .data, no_grad and register_hook in the forward pass is meant.
    - Where none is there, check functions with a backward of their own by torch.autograd.gradcheck in float64.

    ## When it is wrong
    It is a note: a model with a stopped gradient is expected to have it. Differences are blurred by rounding where a
    part of the model computes in float32.

    ## References
    - Karpathy, CS231n, "Gradient checks": above 1e-2 wrong, above 1e-4 uneasy, with kinks less than that is fine.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.LOGIC
    needs_facts = ("drill/gradient-check",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    tolerance: float = Field(1e-4, gt=0, lt=1)
    """Largest relative error of the gradient of a function checked alone. CS231n: 1e-4."""
    whole_tolerance: float = Field(1e-2, gt=0, lt=1)
    """The same of a whole model, in which errors add up. CS231n: deep networks tolerate 1e-2."""
    coarse_tolerance: float = Field(0.1, gt=0, lt=1)
    """The same in float32, where differences have few digits."""

    healthy = {
        "facts": {
            "drill/gradient-check": {
                "dtype": "float64", "entries": 4, "all_tensors": 2, "tricks": {},
                "worst": [{"name": "weight", "error": 3e-8, "entries": 4, "errors": [3e-8]}],
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/gradient-check": {
                "dtype": "float64", "entries": 4, "all_tensors": 2, "tricks": {"detach": 2},
                "worst": [{"name": "weight", "error": 0.4, "entries": 4, "errors": [0.4, 0.3], "analytic": 0.3,
                           "numeric": 0.5}],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/gradient-check"))
        functions = [row for row in tables(told.get("functions")) if number(row.get("entries"))]
        if not number(told.get("entries")) and not functions:
            raise NotApplicable("no entry of a gradient could be compared with a difference")
        for row in functions:
            if wrong_entries(row, self.tolerance, self.coarse_tolerance) and not WrongGradient().is_wrong(row):
                yield self._of_function(row)
        said = texts(told.get("cut"))
        rows = [{"dtype": told.get("dtype"), **row} for row in tables(told.get("worst")) if row.get("name") not in said]
        rows = [row for row in rows if wrong_entries(row, self.whole_tolerance, self.coarse_tolerance)]
        if rows and not functions and not told.get("in_place"):
            yield self._of_model(rows, told)

    def _of_function(self, row: Mapping[str, Json]) -> Finding:
        error = number(row.get("error")) or 0.0
        why = purpose_of(row, self.whole_tolerance)
        return Finding(
            message=f"checked alone, its gradient is up to {error:.2g} of its size off the derivative"
            + (f": {why}" if why else ""),
            advice=("See that this is meant.",) if why else ("Check it with torch.autograd.gradcheck in float64.",),
            subject=text(row.get("name")),
            evidence={"error": error},
        )

    def _of_model(self, rows: Sequence[Mapping[str, Json]], told: Mapping[str, Json]) -> Finding:
        error = number(rows[0].get("error")) or 0.0
        counts = {name: number(count) or 0 for name, count in table(told.get("tricks")).items()}
        calls = ", ".join(f"{count:.0f} x {name}" for name, count in counts.items())
        return Finding(
            message=(
                f"the gradients of {len(rows)} tensors are up to {error:.2g} of their size off the differences; the "
                f"forward pass calls {calls or 'nothing that would explain it (0 x detach, data, no_grad)'}"
            ),
            advice=("See that each of these calls is meant." if calls else "Look for what is not differentiable.",),
            subject=text(rows[0].get("name")),
            evidence={"error": error, "tensors": float(len(rows))},
        )
