"""Columns of the input that never change."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, shape, table, text


class ConstantFeature(Rule):
    """A column of the table that the model is given has the same value in every sample that was drawn.

    ## Why it matters
    It tells nothing, and is often the trace of a mistake: a column read from the wrong place, a unit that rounds
    everything to 0.

    ## What to try
    - Look at the column in the raw data; drop it where it is constant there as well.

    ## When it is wrong
    Flags that are rare, and margins of pictures laid flat, are constant in some hundred samples. Hence this is a remark
    only.

    ## References
    - TheDeepChecker, feature check: standard deviation of 0; deepchecks, Is Single Value. 1000 samples, for rare flags.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False

    min_samples: PositiveInt = 1000
    """Samples that must have been drawn."""

    healthy = {
        "facts": {
            "drill/data-at-the-door": {
                "splits": {
                    "train": {
                        "inputs": {
                            "0": {"dtype": "float32", "shape": [2000, 8], "rows": 2000, "features": 8, "constant": 0}
                        }
                    }
                }
            }
        }
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {
                "splits": {
                    "train": {
                        "inputs": {
                            "0": {"dtype": "float32", "shape": [2000, 8], "rows": 2000, "features": 8, "constant": 2}
                        }
                    }
                }
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        inputs = table(table(table(told.get("splits")).get("train")).get("inputs"))
        judged = False
        for path, one in inputs.items():
            about = table(one)
            rows, features, constant = (number(about.get(key)) or 0.0 for key in ("rows", "features", "constant"))
            if len(shape(about.get("shape"))) != 2 or rows < self.min_samples or "int" in text(about.get("dtype")):
                continue
            judged = True
            if constant > 0:
                yield Finding(
                    subject=path,
                    message=f"{constant:.0f} of {features:.0f} columns of input {path} have one value in {rows:.0f} "
                    f"samples; 0 expected",
                    advice="Look at these columns in the raw data; drop them where they are constant there as well.",
                    evidence={"constant": constant, "features": features, "samples": rows},
                )
        if not judged:
            raise NotApplicable(f"no table with {self.min_samples} rows was drawn from the training loader")
