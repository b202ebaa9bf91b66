"""Two first steps from the same state, which should give the same bits; where they do not, where they part."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..rules.engine.records import Json
from .digests import Parting, Seen, parting, seeing
from .rewinding import Generators, generators
from .whole_gradient import projection

_NAMED = re.compile(r"^([\w:.]+) does not have a deterministic implementation")


class Determinism(Drill):
    """Makes the same first step twice. Where bits differ, the model is run twice without the loop, and once with torch
    told to name what is not deterministic.
    """

    name = "determinism"
    title = "two identical steps"
    in_loop = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        seen: list[Seen] = []
        with generators() as found:
            in_loop = True
            try:
                for turn in range(2):
                    found.begin_anew(turn)
                    with preserved(subject.modules, subject.optimizers, subject.others), seeing(subject) as one:
                        loss = yield
                        one.end(subject.model, loss)
                    seen.append(one)
            except Skip:  # no loss for a loop of ours; the model's outputs can be compared without
                in_loop, seen = False, [_pass(subject, found, turn) for turn in range(2)]
            parted = parting(*seen)
            facts: dict[str, Json] = {
                **{key: _finite(one.loss) for key, one in zip(("first", "second"), seen, strict=True)},
                "loop": parted.facts(subject.model),
                "is_script": subject.is_script and in_loop,
                "device": next((one.device.type for one in subject.model.parameters()), "cpu"),
                "unseeded": found.unseeded,
            }
            if parted.kind:
                facts |= _alone(subject, found)
        notes.fact(**facts, summary=_summary(seen, parted, "loss" if in_loop or subject.loss else "output"))


def _alone(subject: Subject, found: Generators) -> dict[str, Json]:
    """The same of the model and its loss without the loop, and what torch says that it has no repeatable form of."""
    try:
        seen = [_pass(subject, found, turn) for turn in range(2)]
    except Exception as error:  # the model has to be called by its own loop
        return {"alone": None, "reason": f"{type(error).__name__}: {error}"[:200]}
    facts: dict[str, Json] = {"alone": parting(*seen).facts(subject.model)}
    try:
        with told_by_torch() as said:
            one = _pass(subject, found, 0)
    except Exception as error:  # cuBLAS without its workspace, say
        return {**facts, "operations": [], "reason": f"{type(error).__name__}: {error}"[:200]}
    # Memory that was never written is filled with NaN in this mode.
    is_unwritten = math.isfinite(seen[0].loss) and not math.isfinite(one.loss)
    return {**facts, "operations": list(said), "unwritten": is_unwritten}


def _pass(subject: Subject, found: Generators, turn: int) -> Seen:
    found.begin_anew(turn)
    with preserved(subject.modules, subject.optimizers, subject.others), torch.enable_grad(), seeing(subject) as seen:
        output = subject.output()
        loss = subject.loss(output) if subject.loss is not None else projection(output)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        seen.end(subject.model, float(loss.detach()))
    return seen


@contextmanager
def told_by_torch() -> Iterator[list[str]]:
    """Names of operations that torch has no deterministic form of, once each, as they are used inside."""
    was, only_warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    always = torch.is_warn_always_enabled()
    names: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.set_warn_always(True)
            torch.use_deterministic_algorithms(True, warn_only=True)
            yield names
    finally:
        torch.use_deterministic_algorithms(was, warn_only=only_warned)
        torch.set_warn_always(always)
        matches = [_NAMED.match(str(one.message)) for one in said]
        names += dict.fromkeys(match[1] for match in matches if match)


def _summary(seen: list[Seen], parted: Parting, of: str) -> str:
    first, second = (one.loss for one in seen)
    if not parted.kind:
        modules = len({call[1] for call in seen[0].calls})
        return (
            f"{of} {first:.9g} twice; the same bits in {modules} modules, {len(seen[0].gradients)} gradients and "
            f"{parted.total} weights"
        )
    where = f" {parted.name}" if parted.name else ""
    return (
        f"{of} {first:.9g} and {second:.9g}, {parted.weights} of {parted.total} weights differ; the first "
        f"difference: {parted.kind}{where}"
    )


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
