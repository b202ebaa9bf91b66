"""Targets that do not fit what the loss function takes: their range, their shape, their sums."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import BATCH_SIZE
from ..engine.tables import losses_of, number, shape, table, tables, targets_of, text


class TargetContract(Rule):
    """The targets do not have the shape, the range or the sums that the loss function is defined for.

    ## Why it matters
    Nothing raises. Outputs (N, 1) against targets (N,) are compared each with each, N x N differences, and the model
    learns the mean of the targets. A binary loss of targets beyond 0 and 1 has no lower bound. Soft targets that do not
    add up to 1 weigh samples by accident, and an ignored label that is a class is never learned.

    ## What to try
    - Make both shapes equal: `outputs.squeeze(1)`, or `targets.unsqueeze(1)`.
    - Map binary targets to 0 and 1; divide soft targets by their sum.
    - Set `ignore_index` to a label that no sample has.
    - Margin losses (hinge, soft margin, cosine embedding, margin ranking) take labels of -1 and 1: `2 * labels - 1`.
    - `poisson_nll_loss` takes logarithms of rates: leave the last activation out, or set `log_input=False`.

    ## When it is wrong
    Comparing each with each on purpose, as in a ranking loss, is recognised where both sides are outputs. Targets of a
    discriminator slightly beyond 0 and 1 are a known trick, and tolerated. Labels of 0 beside -1 and 1 may be ties, or
    pairs that are left out, and are not reported.

    ## References
    - PyTorch warns of different sizes in MSELoss and L1Loss, on stderr, once; losses written by hand do not warn.
    - PyTorch documentation of BCELoss, CrossEntropyLoss: targets between 0 and 1; rows of probabilities.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("loss",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "initial-loss", "negative-loss", Severity.FATAL)

    tolerance: float = Field(0.25, gt=0)
    """How far beyond 0 and 1 a binary target may be: labels of 0.7 to 1.2 are used on purpose."""

    max_sum_error: float = Field(0.05, gt=0)
    """How far from 1 the sum of a row of soft targets may be."""

    least_ignored: float = Field(0.02, gt=0, lt=1)
    """Share of the labels that are left out from which on that counts."""

    min_looks: PositiveInt = 3
    """Batches whose labels must have been looked at: one batch may have those of one kind alone."""

    least_share: float = Field(0.02, gt=0, lt=1)
    """Share of the labels that each of two values must have, where 0 and 1 are told from -1 and 1."""

    healthy = {
        "facts": {
            "loss": {"function": "mse_loss"},
            "graph": {"broadcast": []},
            "targets": [{"function": "mse_loss", "low": -1.0, "high": 2.0}],
        }
    }
    faulty = {
        "facts": {
            "loss": {"function": "mse_loss"},
            "graph": {"broadcast": [{"function": "mse_loss", "outputs": [32, 1], "targets": [32], "result": [32, 32]}]},
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = losses_of(trace)
        if not losses:
            raise NotApplicable("no loss function was seen")
        for one in tables(table(trace.facts.get("graph")).get("broadcast")):
            targets = targets_of(trace, text(one.get("function")))
            if (found := _broadcast(one) or _labels_repeated(one, targets)) is not None:
                yield found
                return
        for one in tables(trace.facts.get("contracts")):
            if (found := self._labels(one)) is not None:
                yield found
                return
        for loss in losses:
            function = text(loss.get("function"))
            targets = targets_of(trace, function)
            if (
                found := self._binary(function, targets)
                or self._soft(loss, targets)
                or self._ignored(loss, targets, trace)
            ) is not None:
                yield found
                return

    def _labels(self, one: Mapping[str, Json]) -> Finding | None:
        """A finding where labels are 0 and 1 instead of -1 and 1, or the other way round, or rates no logarithms."""
        name, expected = text(one.get("function")), one.get("expected")
        looks = number(one.get("steps")) or 0.0
        if looks < self.min_looks:
            return None
        if expected == "logarithms":
            return Finding(
                message=f"{name} takes the logarithm of a rate (log_input=True); it is given what comes out of "
                f"{text(one.get('given'))}, a rate, at {looks:.0f} of {looks:.0f} steps looked at",
                advice=("Leave the last activation out.", "Or set log_input=False."),
                evidence={"looks": looks},
            )
        ones, minus, zeros = (number(one.get(key)) or 0.0 for key in ("positive", "negative", "zero"))
        total = ones + minus + zeros
        if expected == "signs":
            wrong, given, right = zeros, "0 and 1" if "embedding" not in name else "1 and others", "-1 and 1"
            is_wrong = minus == 0 and min(ones, zeros) >= self.least_share * max(total, 1.0)
        else:
            wrong, given, right = minus, "-1 and 1", "0 and 1"
            is_wrong = min(ones, minus) >= self.least_share * max(total, 1.0)
        if not is_wrong:
            return None
        return Finding(
            message=f"{name} has labels of {given}: {100 * wrong / total:.3g} % of {total:.0f} are none that it takes; "
            f"{right} are expected",
            advice=(
                "Map the labels: 2 * labels - 1." if expected == "signs" else "Map the labels: (labels + 1) / 2.",
                "Or take a loss that is made for these labels.",
            ),
            evidence={"wrong": wrong, "labels": total},
        )

    def _binary(self, function: str, targets: Mapping[str, Json]) -> Finding | None:
        low, high = number(targets.get("low")), number(targets.get("high"))
        if not function.startswith("binary_cross_entropy") or low is None or high is None:
            return None
        if -self.tolerance <= low and high <= 1 + self.tolerance:
            return None
        return Finding(
            message=f"{function} has targets from {low:.4g} to {high:.4g}; 0 to 1 is expected",
            advice=(
                "Map the labels to 0 and 1, or scale the targets to between them.",
                "Use cross_entropy for labels of more than two classes.",
            ),
            evidence={"low": low, "high": high},
        )

    def _soft(self, loss: Mapping[str, Json], targets: Mapping[str, Json]) -> Finding | None:
        low, high = number(targets.get("row_low")), number(targets.get("row_high"))
        if loss.get("function") != "cross_entropy" or loss.get("soft_targets") is not True:
            return None
        # Whole numbers are labels, one or several of a sample: another fault than shares that do not add up.
        if low is None or high is None or targets.get("whole") is True:
            return None
        if 1 - self.max_sum_error <= low and high <= 1 + self.max_sum_error:
            return None
        return Finding(
            message=f"the soft targets of a sample add up to {low:.4g} to {high:.4g}; 1 is expected",
            advice=("Divide each row of the targets by its sum.", "Use a binary loss where classes may hold together."),
            evidence={"row_low": low, "row_high": high},
        )

    def _ignored(self, loss: Mapping[str, Json], targets: Mapping[str, Json], trace: Trace) -> Finding | None:
        label, n, kept = (
            number(targets.get("ignored")),
            number(targets.get("n_ignored")),
            number(targets.get("samples")),
        )
        classes = number(loss.get("n_classes"))
        if label is None or not n or kept is None or classes is None or not 0 <= label < classes:
            return None
        sizes, batches = shape(targets.get("targets")), trace.series(BATCH_SIZE, "train")
        # A label for each sample is a class of it; labels of positions may be padding, which is left out on purpose.
        if len(sizes) != 1 or not batches or not batches.is_finite or sizes[0] > max(batches[-1], median(batches)):
            return None
        share = n / (n + kept)
        if share < self.least_ignored:
            return None
        return Finding(
            message=f"ignore_index={label:.0f} is one of the {classes:.0f} classes: {100 * share:.3g} % of the labels "
            "are left out of the loss; 0 % is expected",
            advice=("Leave ignore_index at its default.", "Give samples without a label one that no class has."),
            evidence={"ignored": n, "share": share},
        )


def _broadcast(one: Mapping[str, Json]) -> Finding | None:
    """A finding where as many outputs as targets were compared each with each."""
    outputs, targets, result = shape(one.get("outputs")), shape(one.get("targets")), shape(one.get("result"))
    if not outputs or not result:
        return None
    n = math.prod(outputs)
    if targets:
        if math.prod(targets) != n or math.prod(result) <= n:
            return None
    elif one.get("targets") is not None or n < 2 or max(outputs) != n or result != [n, n]:
        return None
    given = "x".join(map(str, outputs))
    other = "x".join(map(str, targets)) if targets else f"{n} targets of another shape"
    if (by := text(one.get("by"))) in _BY:
        return Finding(
            message=f"{one.get('function')} is made of a {by} of outputs {given} and {other} targets or weights: "
            f"{math.prod(result)} results, each with each, where {n} are expected",
            advice=("Make both shapes equal: squeeze(-1) the outputs, or sum without keepdim=True.",),
            evidence={"differences": float(math.prod(result)), "expected": float(n)},
        )
    return Finding(
        message=f"{one.get('function')} compares outputs {given} with targets {other}: {math.prod(result)} "
        f"differences, each with each, where {n} are expected",
        advice=(
            "Make both shapes equal: outputs.squeeze(-1), or targets.unsqueeze(-1).",
            "Heed the warning of torch about different sizes.",
        ),
        evidence={"differences": float(math.prod(result)), "expected": float(n)},
    )


_BY = frozenset({"product", "quotient", "choice"})


def _labels_repeated(one: Mapping[str, Json], targets: Mapping[str, Json]) -> Finding | None:
    """A finding where each output of a classifier is compared with the number of the class."""
    outputs, given, values = shape(one.get("outputs")), shape(one.get("targets")), targets.get("values")
    if len(outputs) != 2 or outputs[1] < 3 or given != [outputs[0], 1] or not isinstance(values, list):
        return None
    n = outputs[1]
    if [number(value) for value in values] != [float(label) for label in range(n)]:
        return None
    return Finding(
        message=f"{one.get('function')} compares all {n} outputs of a sample with the number of its class, 0 to "
        f"{n - 1}; 1 output for each class and a one-hot target are expected",
        advice=(
            "Use cross_entropy with the labels as whole numbers.",
            "Or compare with one_hot(labels).float().",
        ),
        evidence={"outputs": float(n), "expected": 1.0},
    )
