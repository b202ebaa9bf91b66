"""One batch, repeated again and again, that is not learned by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, text
from .one_batch import OneBatch, why_still

_UNBOUNDED = frozenset({"gan", "rl", "contrastive", "diffusion", "autoencoder"})
"""Profiles whose loss has no floor that could be known, or a narrow passage on the way to it."""

MILD = 10.0
"""Times the learning rate, of a trial that does not break a healthy model by itself."""


class OverfitOneBatch(Rule):
    """A model that is trained on one batch alone, hundreds of times, does not learn it by heart.

    It is said only where it is certain: the loss is not finite, weights do not move, the loss is given what it cannot
    work with, or it rests at that of one answer for every sample and other learning rates do not help, or they do.
    What still falls when the time is up, or rests half-way, is left open, unless it has hardly left the start and a
    larger learning rate gets it half-way in less time.

    ## Why it matters
    Every network with more weights than samples can memorise a few dozen of them. One that cannot will learn nothing
    from the whole data either: the fault is in the wiring, the loss or the learning rate, and no longer training helps.

    ## What to try
    - Follow the first advice of the finding: it comes from what was measured.
    - Check that the loss gets what it expects: raw scores, shapes that are equal, labels of these very inputs.
    - Check that the gradient gets from the loss to every layer, and that the optimizer holds every parameter.

    ## When it is wrong
    A loss with a floor of its own, which is not known here (a penalty, a bottleneck, targets that contradict each
    other), rests above 0. A learning rate that a schedule keeps near 0 in its first steps teaches nothing yet.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: overfit a single batch of few examples to the lowest loss.
    - CS231n, Neural Networks Part 3: overfit a tiny subset, regularisation off, before training on the whole.
    - TheDeepChecker (Ben Braiek & Khomh 2022): one batch, hundreds of iterations.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/overfit-one-batch",)
    waits_for_warmup = False
    profiles = EVERY

    min_steps: PositiveInt = 100
    """Iterations from which on a loss that stands still is judged: TheDeepChecker takes 200, CS231n says hundreds."""

    tolerance: float = Field(0.1, gt=0, lt=1)
    """Share of the way to the floor that may be left in a batch that counts as known."""

    min_accuracy: float = Field(0.99, gt=0, le=1)
    """Share of right answers at which a batch of classes counts as known."""

    ratio: float = Field(0.98, gt=0, lt=1)
    """Share of the way left, with every learning rate, at which nothing was learned that tells the samples apart."""

    min_fall: float = Field(0.01, gt=0, lt=1)
    """Fall from the third quarter to the last, as a share of what is left, from which on a loss still falls."""

    min_pace: float = Field(0.1, gt=0, lt=0.25)
    """The same as a share of the whole fall: a loss that falls evenly has 0.25, and is slow, not at rest."""

    min_gain: float = Field(0.5, gt=0, lt=1)
    """Share of what is left with another learning rate, at most, for the rate to be the reason."""

    slow: float = Field(0.9, gt=0, lt=1)
    """Share of the way left after `slow_steps` iterations at which a rate is too small, where a larger one gains
    `min_gain` in fewer. Of 108 healthy programs the slowest had 0.65 left after 400."""

    slow_steps: PositiveInt = 300
    """Iterations from which on a training on one batch is slow, and not short."""

    min_progress: float = Field(6e-4, gt=0, lt=0.1)
    """Share of the way made in a hundred iterations below which a learning rate is tiny: it takes more than 160 000
    of them to get there. Plain SGD at 1e-4, slow but seen, makes more."""

    max_movement: float = Field(7.5e-4, gt=0)
    """Change of the weights in a hundred iterations, relative to their size, below which a learning rate may be tiny:
    about 1e-3 for each single one is usual (CS231n)."""

    healthy = {
        "facts": {
            "drill/overfit-one-batch": {
                "first": 2.31, "last": 0.01, "lowest": 0.01, "iterations": 90, "floor": 0.0, "guess": 2.28,
                "accuracy": 1.0, "falls": 0.02, "moved": 4, "steps": 90, "rate_peak": 1e-3, "trials": [],
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/overfit-one-batch": {
                "first": 2.35, "last": 2.28, "lowest": 2.28, "iterations": 400, "floor": 0.0, "guess": 2.28,
                "accuracy": 0.16, "falls": 1e-5, "moved": 4, "steps": 400, "rate": 1e-3, "rate_at_end": 1e-3,
                "rate_peak": 1e-3, "movement": 0.1, "parameters": 10000, "answers": 32, "optimizers": 1,
                "trials": [{"rate": 0.1, "last": 2.28, "lowest": 2.28}, {"rate": 10.0, "last": 2.28, "lowest": 2.28}],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        fact = table(trace.facts.get("drill/overfit-one-batch"))
        seen = OneBatch.read(fact)
        if seen is None:
            if fact.get("iterations") == 0 and number(fact.get("nonfinite_at")) is not None:
                yield Finding(
                    message="the loss of the first iteration is not finite; a finite one is expected from 1 batch",
                    advice=("Look for NaN in the inputs, then for a logarithm, division or root of 0 in the model.",),
                    evidence={"iterations": 0.0},
                )
                return
            raise NotApplicable("no loss was measured")
        found = self._of_losses(seen) or self._of_course(seen)
        if found is not None:
            message, advice = found
            low = {} if seen.floor is None else {"floor": seen.floor}
            evidence = {"first": seen.first, "last": seen.last, "iterations": float(seen.iterations), **low}
            yield Finding(message=message, advice=advice, evidence=evidence)

    def _of_losses(self, seen: OneBatch) -> tuple[str, tuple[str, ...]] | None:
        """What is wrong with a loss whatever its course; None where nothing is."""
        at = seen.get("nonfinite_at")
        if at is not None:
            return self._nonfinite(seen, int(at))
        if seen.floor is not None and seen.function and seen.lowest < min(0.0, seen.floor) - 1e-3:
            return (
                f"{seen.function} fell to {seen.lowest:.4g}; it cannot be below 0 for targets that it is made for",
                ("Check the range of the targets: shares from 0 to 1, labels from 0 on.", "Check the loss's sign."),
            )
        accuracy = seen.get("accuracy")
        is_of_labels = seen.n_classes > 1 and text(seen.told.get("profile")) not in _UNBOUNDED
        if seen.first < 0 and is_of_labels and accuracy == 0.0 and seen.last < seen.first:
            return (
                f"the loss falls from {seen.first:.4g} to {seen.last:.4g}, and {accuracy:.0%} of the batch is right",
                ("Turn the sign of the loss: what is minimised is the negative of a cross-entropy.",),
            )
        if seen.told.get("keeps_gradients") is True:
            return (
                f"the gradient of step 1 is still in that of step 2; loss {seen.first:.4g} to {seen.last:.4g} in "
                f"{seen.iterations} iterations",
                ("Call optimizer.zero_grad() ahead of every loss.backward().",),
            )
        squashed = text(seen.told.get("squashed"))
        if squashed and seen.left(seen.last) > self.tolerance and seen.iterations >= self.min_steps:
            lowest = math.log(math.e + seen.n_classes - 1) - 1 if squashed == "softmax" and seen.n_classes else None
            bound = "" if lowest is None else f", where {lowest:.4g} = ln(e + {seen.n_classes - 1}) - 1 is the lowest"
            return (
                f"loss {seen.last:.4g} after {seen.iterations} iterations{bound}: the model ends in a {squashed}, and "
                f"{seen.function} applies another",
                (f"Wrong loss: remove the {squashed} at the end of the model; {seen.function} takes raw scores.",),
            )
        return None

    def _nonfinite(self, seen: OneBatch, at: int) -> tuple[str, tuple[str, ...]]:
        fell = seen.first - seen.lowest > self.min_gain * abs(seen.first)
        if seen.floor is None and fell:
            raise NotApplicable(
                f"the loss fell from {seen.first:.4g} to {seen.lowest:.4g} and left the finite numbers at iteration "
                f"{at}: a likelihood of one batch has no floor"
            )
        self._hold_back_for_schedule(seen, f"the loss is not finite at iteration {at}")
        slower = seen.best(slower=True)
        message = f"the loss is not finite at iteration {at} (first {seen.first:.4g}, lowest {seen.lowest:.4g})"
        if slower is not None and slower.last < seen.first:
            message += f"; with {slower.rate:g} times the learning rate it fell to {slower.last:.4g}"
            return message, (f"Learning rate: take {slower.rate:g} times it, {self._rate(seen, slower.rate)}.",)
        return message, (
            "Look for a logarithm, division or root of 0 in the loss and the model.",
            "Lower the learning rate 10 times, and clip the norm of the gradient at 1.",
        )

    def _of_course(self, seen: OneBatch) -> tuple[str, tuple[str, ...]] | None:
        """What is wrong with the course of the loss; None where the batch was learned."""
        if (seen.get("moved") == 0 or seen.get("steps") == 0) and self._is_still(seen):
            return why_still(seen)
        profile = text(seen.told.get("profile"))
        if seen.floor is None or profile in _UNBOUNDED or (seen.get("optimizers") or 1) > 1:
            self._hold_back_without_floor(seen)
            return None
        left, accuracy = seen.left(seen.last), seen.get("accuracy")
        if left <= self.tolerance or (accuracy is not None and accuracy >= self.min_accuracy and left < self.ratio):
            return None
        by_token = seen.get("by_token")
        if by_token is not None and seen.last <= 1.05 * by_token:
            return None
        way = f"{min(left, 1.0):.0%} of the way left"
        so_far = f"loss {seen.first:.4g} to {seen.last:.4g} in {seen.iterations} iterations, {way}"
        if seen.iterations < self.min_steps:
            raise NotApplicable(f"{so_far}; {self.min_steps} iterations are needed: give more time with --seconds")
        self._hold_back_for_schedule(seen, so_far)
        if self._is_tiny(seen):
            return self._too_small_a_rate(seen)
        return self._at_rest(seen, left, so_far)

    def _at_rest(self, seen: OneBatch, left: float, so_far: str) -> tuple[str, tuple[str, ...]] | None:
        slower = seen.best(slower=True)
        rests = self._rests(seen, seen.last, seen.get("falls") or 0.0)
        if (
            slower is not None
            and left > self.min_gain
            and seen.left(slower.last) < (self.min_gain * min(1.0, left) if rests else self.tolerance)
        ):
            return (
                f"{so_far}; with {slower.rate:g} times the learning rate it fell to {slower.last:.4g}",
                (f"Learning rate too high: take {slower.rate:g} times it, {self._rate(seen, slower.rate)}.",),
            )
        faster = seen.best(slower=False)
        if (
            not rests  # a deep network may rest at the start, and take off at any rate
            and left > self.slow
            and seen.iterations >= self.slow_steps
            and faster is not None
            and seen.left(faster.last) < self.min_gain
        ):
            return (
                f"{so_far}; with {faster.rate:g} times the learning rate it fell to {faster.last:.4g}",
                (f"Learning rate too small: take {faster.rate:g} times it, {self._rate(seen, faster.rate)}, or less.",),
            )
        best = min(seen.trials, key=lambda one: one.lowest, default=None)
        helps = "" if best is None else f"; with {best.rate:g} times the learning rate it fell to {best.lowest:.4g}"
        if seen.left(seen.lowest) < self.ratio or best is None or seen.left(best.lowest) < self.ratio:
            what = "it rests there, and may have a floor of its own" if rests else "and it still falls"
            raise NotApplicable(f"{so_far}, {what}: inconclusive{helps}")
        mild = next((one for one in seen.trials if one.rate == MILD), None)
        if not rests and (mild is None or not self._rests(seen, mild.last, mild.falls)):
            raise NotApplicable(f"{so_far}, and it still falls: inconclusive{helps}")
        return self._nothing_learned(seen, so_far, best.lowest)

    def _rests(self, seen: OneBatch, last: float, falls: float) -> bool:
        """Whether a loss has stopped falling."""
        left = max(last - (seen.floor or 0.0), 1e-12)
        return falls < self.min_fall * left and falls < self.min_pace * max(seen.first - last, 1e-4 * left)

    def _nothing_learned(self, seen: OneBatch, so_far: str, best: float) -> tuple[str, tuple[str, ...]]:
        if seen.told.get("broadcast") is True:
            return (
                f"{so_far}: one answer for every sample gives {seen.top:.4g}; every prediction is compared with every "
                "target",
                ("Wrong loss: give predictions and targets the same shape, such as predictions.squeeze(-1).",),
            )
        answers, parameters = seen.get("answers"), seen.get("parameters")
        if answers is not None and parameters is not None and parameters < answers:
            raise NotApplicable(f"{so_far}; {parameters:.0f} parameters cannot know {answers:.0f} answers by heart")
        without, tensors = seen.get("without_gradient_at_end") or 0.0, seen.get("tensors") or 0.0
        advice = ["Not connected: look for what cuts the inputs off: detach(), dead or saturated units, zero weights."]
        if without:
            advice.insert(0, f"Not connected: {without:.0f} of {tensors:.0f} parameters get no gradient, or one of 0.")
        advice.append("Check that labels and inputs belong together, and that the inputs differ.")
        return (
            f"{so_far}: one answer for every sample gives {seen.top:.4g}; with other learning rates it came to "
            f"{best:.4g} at best",
            tuple(advice[:3]),
        )

    def _is_still(self, seen: OneBatch) -> bool:
        """Whether the loss is the same all the time, and steps were to be expected."""
        highest = seen.get("highest")
        spread = (seen.first if highest is None else highest) - seen.lowest
        return seen.iterations >= self.min_steps and spread <= 1e-6 * abs(seen.first)

    def _hold_back_without_floor(self, seen: OneBatch) -> None:
        if seen.first - seen.last >= self.tolerance * abs(seen.first):
            return
        raise NotApplicable(
            f"loss {seen.first:.4g} to {seen.last:.4g} in {seen.iterations} iterations: a loss of this kind has no "
            "known floor, and need not fall on one batch"
        )

    def _hold_back_for_schedule(self, seen: OneBatch, so_far: str) -> None:
        rates = [seen.get(key) for key in ("rate", "rate_at_end", "rate_peak")]
        start, end, peak = (0.0 if one is None else one for one in rates)
        if end < 0.5 * peak or end > 1.5 * start:
            raise NotApplicable(f"{so_far}; the learning rate goes from {start:.3g} to {end:.3g}: a schedule moves it")
        begins = seen.get("rate_begins")
        if begins is not None and begins < 0.5 * start:
            raise NotApplicable(
                f"{so_far}, at the learning rate {start:.3g}: a schedule leads up to it from {begins:.3g}, or scales it"
            )

    def _is_tiny(self, seen: OneBatch) -> bool:
        movement, faster = seen.get("movement"), seen.best(slower=False)
        fall = max(seen.first - seen.last, 0.0)
        hundreds = seen.iterations / 100
        is_little = fall < self.min_progress * hundreds * (seen.first - (seen.floor or 0.0))
        if movement is None or movement >= self.max_movement * hundreds or not is_little or faster is None:
            return False
        return seen.first - faster.last > 5 * fall

    def _too_small_a_rate(self, seen: OneBatch) -> tuple[str, tuple[str, ...]]:
        faster = max((one for one in seen.trials if one.rate > 1), key=lambda one: seen.first - one.last)
        return (
            f"the loss fell by {seen.first - seen.last:.2g} from {seen.first:.4g} in {seen.iterations} iterations, and "
            f"{seen.movement}; with {faster.rate:g} times the learning rate it fell by {seen.first - faster.last:.2g}",
            (f"Learning rate too small: take {faster.rate:g} times it, {self._rate(seen, faster.rate)}, or more.",),
        )

    def _rate(self, seen: OneBatch, factor: float) -> str:
        return f"{(seen.get('rate_peak') or 0.0) * factor:.3g}"
