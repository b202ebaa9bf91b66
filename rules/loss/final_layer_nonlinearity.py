"""An activation at the model's end that keeps it from saying what the targets ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, targets_of, text, texts

_STATE = "hidden_state"
_RANGES: Mapping[str, tuple[float, float]] = {
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "exp": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    _STATE: (-1.0, 1.0),
    "log_softmax": (-math.inf, 0.0),
    "log_sigmoid": (-math.inf, 0.0),
}
"""What an activation can put out."""

_DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
_SCORES = frozenset({"cross_entropy", "binary_cross_entropy_with_logits"})
_CLIPS = frozenset({"relu", "tanh", "softplus", _STATE})
"""Of raw scores: what takes away their sign or their size. Sigmoid and softmax there are `double-softmax`."""


class FinalLayerNonlinearity(Rule):
    """The last operation of the model cannot reach the values that the loss asks for.

    ## Why it matters
    Behind a ReLU no output is below 0, behind a sigmoid none is outside 0 to 1, and the hidden state of an LSTM, GRU or
    RNN stays within -1 and 1: targets beyond are never reached, and where the activation is flat there is no gradient.
    A classifier whose scores pass a ReLU or tanh cannot say that a class is unlikely, or not surely.

    ## What to try
    - End the model in a linear layer, behind a recurrent one too.
    - Or bring the targets into the range of the activation.

    ## When it is wrong
    Targets that are seldom, or hardly, outside of the range are not reported. A tanh that bounds scores on purpose has
    a factor behind it, and is not reported either.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022): outputs that never cover the sign or size of the targets.
    - UMLAUT (Schoop et al. 2021): an activation ahead of a loss of logits.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME)

    deviations: float = Field(0.5, gt=0)
    """How far outside of the range targets must lie, in standard deviations of the targets."""

    healthy = {
        "facts": {
            "graph": {"tails": [{"loss": "mse_loss", "ops": ["relu"], "layer": "head.weight"}]},
            "targets": [{"function": "mse_loss", "low": 0.5, "high": 9.0, "mean": 4.0, "std": 2.0}],
        }
    }
    faulty = {
        "facts": {
            "graph": {"tails": [{"loss": "mse_loss", "ops": ["relu"], "layer": "head.weight"}]},
            "targets": [{"function": "mse_loss", "low": -2.5, "high": 2.7, "mean": 0.0, "std": 1.0}],
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        tails = tables(table(trace.facts.get("graph")).get("tails"))
        known = [tail for tail in tails if tail.get("loss") in _DISTANCES | _SCORES]
        if not known:
            raise NotApplicable("no loss function was seen whose outputs have a range to be compared")
        is_judged = False
        for tail in known:
            function, layer, ops = text(tail.get("loss")), text(tail.get("layer")), texts(tail.get("ops"))
            targets = targets_of(trace, function)
            is_judged = is_judged or function in _SCORES or bool(targets)
            if not ops:
                continue
            found = self._clipped(ops[0], function) if function in _SCORES else self._unreached(ops[0], targets)
            if found is None:
                continue
            message, evidence = found
            yield Finding(
                subject=layer.rpartition(".")[0] if ops[0] == _STATE else layer.removesuffix(".weight"),
                message=message,
                advice=(
                    "End the model in a linear layer: Linear(hidden_size, outputs) behind the recurrent one."
                    if ops[0] == _STATE
                    else f"Remove the {ops[0]} behind the last layer.",
                    "Or bring the targets into its range."
                    if function in _DISTANCES
                    else "Apply it in hidden layers only.",
                ),
                evidence=evidence,
            )
            return
        if not is_judged:
            raise NotApplicable("the range of the targets is not known")

    def _clipped(self, op: str, function: str) -> tuple[str, dict[str, float]] | None:
        if op not in _CLIPS:
            return None
        low, high = _RANGES[op]
        return (
            f"{_named(op)} brings the scores to {low:g} to {high:g}; {function} expects any number, "
            "below 0 for what is unlikely",
            {"low": low, "high": min(high, 1e308)},
        )

    def _unreached(self, op: str, targets: Mapping[str, Json]) -> tuple[str, dict[str, float]] | None:
        limits = _RANGES.get(op)
        low, high, spread = number(targets.get("low")), number(targets.get("high")), number(targets.get("std"))
        if limits is None or low is None or high is None or spread is None or spread <= 0:
            return None
        beyond = max(limits[0] - low, high - limits[1])
        if beyond <= self.deviations * spread:
            return None
        words = f"{limits[0]:g} to {limits[1]:g}"
        return (
            f"{_named(op)} puts out {words}; the targets go from {low:.4g} to {high:.4g}, "
            f"{beyond / spread:.2g} standard deviations beyond",
            {"targets_low": low, "targets_high": high, "beyond": beyond},
        )


def _named(op: str) -> str:
    return "the hidden state of a recurrent layer, as the output," if op == _STATE else f"a {op} behind the last layer"
