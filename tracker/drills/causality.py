"""Whether a model that is to say what comes next sees it."""

from __future__ import annotations

import time

import torch

from ..drilling.claims import Claim, by_position, find_claim
from ..drilling.drill import Drill, Notes, Skip
from ..drilling.places import first_place
from ..drilling.subject import Subject
from ..drilling.trials import Trials, given, rms
from ..rules.engine.records import Json

_SEEN = 1e-6
"""Change of an earlier position, as a share of that of later ones, below which nothing more is looked for."""


class Causality(Drill):
    """Exchanges what comes later in each sequence, and looks whether outputs for earlier positions change.

    Only where the labels are the input itself: one position on, as for a language model or a forecast, or the same
    position, where the shift was forgotten.
    """

    name = "causality"
    title = "no look at later steps"
    seconds = 8.0

    def measure(self, subject: Subject, notes: Notes) -> None:
        ends = time.monotonic() + self.budget
        trials = Trials(subject)
        function, _, compared = trials.compared()
        labels = [one for one in (compared, subject.targets) if one is not None]
        inputs = given(subject)
        labels += [one for _, one in subject.inputs() if all(one is not other for _, other in inputs)]
        if not labels:
            raise Skip("what the loss compares with is not known")
        claim = find_claim(inputs, labels)
        if claim is None:
            raise Skip("the targets are not the inputs one step on: nothing says that the model may not look ahead")
        base, again = trials.outputs(), trials.outputs()
        path = next((path for path, one in base.items() if any(True for _ in by_position(one, claim))), None)
        if path is None:
            raise Skip("no output has a row for each position of the input")
        noise = rms(base[path] - again[path]) / (rms(base[path]) or 1.0)
        length = claim.length
        found: list[tuple[float, int]] = []
        for cut in sorted({max(0, length // 4 - 1), length // 2, max(1, 3 * length // 4)}):
            if cut < length - 1 and time.monotonic() < ends:
                share = _ahead(trials, claim, path, base[path], cut)
                if share is not None:
                    found.append((share, cut))
        if not found:
            raise Skip("no output changed with what comes later, nor at later positions themselves")
        ahead, cut = max(found)
        values: dict[str, Json] = {
            "input": claim.name,
            "shift": claim.shift,
            "length": length,
            "samples": claim.count,
            "function": function,
            "ahead": _number(ahead),
            "cut": cut,
            "noise": _number(noise),
            "itself": _number(_itself(trials, claim, path, base[path])),
        }
        if ahead > max(_SEEN, 10 * noise):
            kept = torch.arange(cut + 1)
            place = first_place(trials, _later(claim, cut), length, kept, _shorter(subject, claim))
            if place is not None:
                values |= {"layer": place.layer, "kind": place.kind, "by_summary": place.by_summary}
        what = "one step on" if claim.shift else "not shifted"
        notes.fact(
            **values,
            summary=f"later steps change earlier outputs by {ahead:.2g} of what they change later ones; targets are "
            f"the inputs, {what} ({length} steps)",
        )


def _later(claim: Claim, cut: int) -> dict[int, torch.Tensor]:
    """The input with everything behind position `cut` from another sample."""
    return _exchanged(claim, torch.arange(claim.length) > cut)


def _shorter(subject: Subject, claim: Claim) -> dict[int, torch.Tensor]:
    """The inputs without their last position."""
    found = {}
    for _, one in subject.inputs():
        if one.dim() > claim.time and one.shape[claim.time] == claim.length and one.dim() > 1:
            found[id(one)] = one.narrow(claim.time, 0, claim.length - 1).clone()
    return found


def _exchanged(claim: Claim, where: torch.Tensor) -> dict[int, torch.Tensor]:
    given, samples = claim.tensor, 1 - claim.time
    others = [given.roll(step, samples) for step in range(1, min(4, claim.count))]
    others += [given.flip(claim.time), given.roll(1, claim.time)]
    places = where.to(given.device).nonzero().flatten()
    mine = given.index_select(claim.time, places)
    best = max(others, key=lambda one: float((one.index_select(claim.time, places) != mine).float().mean()))
    changed = given.clone()
    changed.index_copy_(claim.time, places, best.index_select(claim.time, places))
    return {id(given): changed}


def _ahead(trials: Trials, claim: Claim, path: str, base: torch.Tensor, cut: int) -> float | None:
    """The largest change of a position up to `cut`, as a share of the mean one behind it; None where that is zero."""
    shares = []
    for changes in _changes(trials, claim, path, base, torch.arange(claim.length) > cut):
        later = float(changes[cut + 1 :].mean()) if changes[cut + 1 :].numel() else 0.0
        if later > 0 and later < float("inf"):
            shares.append(float(changes[: cut + 1].max()) / later)
    return min(shares) if shares else None


def _itself(trials: Trials, claim: Claim, path: str, base: torch.Tensor) -> float | None:
    """The change of the output at a position whose input is exchanged, as a share of the output's size."""
    at = claim.length // 2
    found = _changes(trials, claim, path, base, torch.arange(claim.length) == at)
    return min((float(one[at]) / (rms(base) or 1.0) for one in found if one.numel() > at), default=None)


def _changes(trials: Trials, claim: Claim, path: str, base: torch.Tensor, where: torch.Tensor) -> list[torch.Tensor]:
    """For each way to read the output: the change of each position, over samples in which the loss looks at it."""
    try:
        after = trials.outputs(_exchanged(claim, where)).get(path)
    except Exception:  # what the model is given elsewhere may not fit
        return []
    if after is None or after.shape != base.shape:
        return []
    found = []
    for ours, theirs in zip(by_position(base, claim), by_position(after, claim), strict=True):
        squares = (theirs - ours).double().pow(2).mean(-1).cpu()
        counted = claim.counted[:, : squares.shape[1]]
        squares = squares.where(counted | (torch.arange(squares.shape[1]) >= int(where.nonzero()[0])), 0.0)
        found.append(squares.mean(0).sqrt())
    return found


def _number(value: float | None) -> float | None:
    return float(f"{value:.4g}") if value is not None and value < float("inf") else None
