"""Central differences against autograd, for the whole model and alone for functions with a backward of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..rules.engine.records import Json
from .custom_functions import check_alone
from .functions_met import met_functions
from .rewinding import generators
from .whole_gradient import Whole, check_whole, projection

SHARE = 0.6
"""Of the time, for the whole model; functions are checked in the rest."""


class GradientCheck(Drill):
    """Makes one iteration, to see what is called and what gets a gradient; then compares gradients with differences."""

    name = "gradient-check"
    title = "gradients against differences"
    seconds = 10.0
    in_loop = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        began = time.monotonic()
        reached = Reached(subject)
        with (
            preserved(subject.modules, subject.optimizers, subject.others),
            met_functions() as functions,
            reached.watching(),
        ):
            try:
                yield
                reached.look()
            except Exception:  # the loop cannot be had; what the model calls can
                reached.is_known = False
                self._pass(subject)
        deadline = time.monotonic() + self.budget - (time.monotonic() - began)
        with ExitStack() as stack:
            found = stack.enter_context(generators())
            stack.enter_context(torch.enable_grad())
            reason, whole = "", None
            try:
                whole = check_whole(subject, found, time.monotonic() + SHARE * (deadline - time.monotonic()))
            except Skip as skip:
                reason = str(skip)
            rows = [check_alone(one, (subject.model,), found.rewind, deadline) for one in functions]
        if whole is None and not rows:
            raise Skip(reason)
        facts: dict[str, Json] = {"reason": reason}
        if whole is not None:
            facts = {**whole.facts(), "cut": list(reached.left_out(whole.cut))}
        notes.fact(**facts, functions=list(rows), summary=_summary(whole, rows, reason))

    def _pass(self, subject: Subject) -> None:
        try:
            with torch.enable_grad():
                projection(subject.output()).backward()  # type: ignore[no-untyped-call]
        except Exception:  # said by the check of the whole model
            return


class Reached:
    """Which parameters an iteration of the training loop gave a gradient, or changed."""

    def __init__(self, subject: Subject) -> None:
        self.is_known = True
        self._named = list(subject.model.named_parameters())
        self._stepped = {
            id(one) for optimizer in subject.optimizers for group in optimizer.param_groups for one in group["params"]
        }
        self._before = [one.detach().clone() for _, one in self._named]
        self._reached: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at the gradients before each step of any optimizer."""

        def stepping(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            self.look()

        handle = register_optimizer_step_pre_hook(stepping)
        try:
            yield
        finally:
            handle.remove()

    def look(self) -> None:
        """Notes what has a gradient, or is not what it was, by now."""
        for (_, one), before in zip(self._named, self._before, strict=True):
            if id(one) in self._reached:
                continue
            gradient = one.grad
            has_gradient = gradient is not None and (gradient.is_sparse or bool(gradient.detach().any()))
            if has_gradient or not torch.equal(one.detach(), before):
                self._reached.add(id(one))

    def left_out(self, names: Sequence[str]) -> list[str]:
        """Of these parameters those that an optimizer should train, and that the iteration did not reach."""
        wanted = {name for name, one in self._named if id(one) in self._stepped and id(one) not in self._reached}
        return [name for name in names if name in wanted] if self.is_known else []


def _summary(whole: Whole | None, rows: Sequence[Mapping[str, Json]], reason: str) -> str:
    parts = []
    if whole is None:
        parts.append(f"the whole model was not checked: {reason}")
    else:
        facts = whole.facts()
        worst = max(
            whole.tensors.items(), key=lambda item: item[1].worst.error if item[1].worst else -1.0, default=None
        )
        entries = (
            f"{facts['entries']} entries of {facts['tensors']} of {facts['all_tensors']} tensors, {facts['dtype']}"
        )
        if worst is None or worst[1].worst is None:
            parts.append(f"nothing could be compared: {entries}")
        else:
            parts.append(f"worst relative error {worst[1].worst.error:.1e} ({worst[0]}) in {entries}")
    for row in rows:
        error = row.get("error")
        said = f"{error:.1e}" if isinstance(error, float) else f"not compared{_why(row)}"
        parts.append(f"{row['name']} alone {said}{' (hands its input on)' if row.get('identity') else ''}")
    return "; ".join(parts)


def _why(row: Mapping[str, Json]) -> str:
    return f" ({row['skipped']})" if row.get("skipped") else ""
