"""Units that begin as copies of each other, and get the same gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class SymmetricUnitsAtStart(Rule):
    """All units of a layer begin with the same weights, get the same gradient, and are still alike three steps later.

    ## Why it matters
    Units that are alike stay alike for ever: a layer of a hundred units is worth one.

    ## What to try
    - Leave the layers as PyTorch makes them, or use `kaiming_normal_` or `xavier_uniform_`.
    - Set constants for biases and norm layers only.

    ## When it is wrong
    Weights that begin at zero on purpose (the end of a residual branch, a last layer, one half of an adapter) get
    different gradients, or part within a few steps, and are not reported.

    ## References
    - Goodfellow et al. 2016, Deep Learning, 8.4: "break symmetry between different units".
    - NeuraLint (Nikanjam et al. 2022): constant initialisation; TheDeepChecker (Braiek & Khomh 2022): variance near 0.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.SETTING
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    max_apart: float = Field(1e-3, gt=0, lt=1)
    """Share of a gradient by which units may differ that count as alike: rounding makes less."""

    max_share: float = Field(0.3, gt=0, lt=1)
    """The same for weights that are all one number other than 0, which nothing but biases tells apart."""

    min_size: float = Field(1e-6, gt=0, lt=1)
    """Gradient of such weights, in the largest of all, below which it is rounding: what comes back cancels out."""

    healthy = {
        "facts": {
            "drill/signal-propagation": {
                "matrices": 3,
                "same_units": [
                    {"name": "4.weight", "units": 10, "constant": True, "zero": True, "apart": 0.9, "size": 1.0,
                     "stays": False}
                ],
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/signal-propagation": {
                "matrices": 3,
                "same_units": [
                    {"name": "0.weight", "units": 64, "constant": True, "zero": False, "apart": 1e-7, "size": 0.1,
                     "stays": True}
                ],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        matrices = number(told.get("matrices"))
        if not matrices or not isinstance(told.get("same_units"), list):
            raise NotApplicable("no weight matrix was looked at")
        found = [one for one in tables(told.get("same_units")) if self._is_symmetric(one)]
        if not found:
            return
        name, units = text(found[0].get("name")), number(found[0].get("units")) or 0.0
        yield Finding(
            subject=name.removesuffix(".weight"),
            message=f"all {units:.0f} units of {name} begin alike and get one gradient, and so in {len(found)} of "
            f"{matrices:.0f} weight matrices; {units:.0f} different units are expected",
            advice=(
                "Leave the layers as PyTorch makes them, or use kaiming_normal_ or xavier_uniform_.",
                "Set constants for biases and norm layers only.",
            ),
            evidence={"units": units, "alike": len(found), "matrices": matrices},
        )

    def _is_symmetric(self, matrix: Mapping[str, Json]) -> bool:
        units, apart, size = (number(matrix.get(key)) for key in ("units", "apart", "size"))
        if units is None or units < 2 or size is None:
            return False
        if matrix.get("constant") is True and matrix.get("zero") is False:
            # Their outputs, and what comes back to them, are nearly the same numbers, however the biases began.
            return size < self.min_size or (apart is not None and apart < self.max_share)
        return apart is not None and apart < self.max_apart and matrix.get("stays") is not False
