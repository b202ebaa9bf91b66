"""Recognises training without an optimizer: `w -= lr * w.grad`, in whatever way it is written."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..frames import objects_in
from .parameters import Owned, is_real

if TYPE_CHECKING:
    from .training import Training

_MAX_NODES = 5000
"""Nodes of the graph that are looked at for its leaves."""
_MAX_WALKS = 3
"""Graphs that are walked before anything has changed: behind them, an optimizer is likely to be waited for."""
_SEVERAL_CHANGES = 3
"""Times that weights must change without a step before an optimizer that stands by is taken to be out of sight."""
_WATCHED, _ELEMENTS = 2, 1024
"""Leaves, and elements of each, whose values are compared: an update through `.data` leaves no other trace."""


class ManualUpdates:
    """Stands where the optimizer would be: one group, the leaves that the loss reaches."""

    # What it is called where optimizers are described.
    __module__, __qualname__ = "builtins", "manual"

    def __init__(self, parameters: list[torch.Tensor]) -> None:
        self._refs = [weakref.ref(parameter) for parameter in parameters]
        self.state: dict[Any, Any] = {}
        self.defaults: dict[str, Any] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """As an optimizer's; parameters that are gone are left out."""
        return [{"params": self.parameters}]

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [parameter for ref in self._refs if (parameter := ref()) is not None]

    def take(self, parameters: list[torch.Tensor]) -> None:
        """The leaves are these now: some scripts make them anew with each update."""
        self._refs = [weakref.ref(parameter) for parameter in parameters]


class ManualLoop:
    """Compares the leaves of a loss between one backward and the next, as long as no optimizer has stepped."""

    def __init__(self) -> None:
        self.leaves: list[weakref.ref[torch.Tensor]] = []
        self.changes = 0
        """Backwards before which the leaves had changed."""
        self.were_made_anew = False
        """Whether the last change put other tensors in the place of the leaves."""
        self._are_fleeting = False
        self._versions: list[int] = []
        self._sums: list[str] = []
        self._shapes: list[torch.Size] = []
        self._walks = 0

    def has_changed(self, tensor: torch.Tensor) -> bool:
        """True when what `tensor` depends on was written to, or made anew, since the last backward.

        Called ahead of a backward; looks at the leaves of this one, and notes how they are.
        """
        before = [ref() for ref in self.leaves]
        changed = bool(before) and self._differ(before)
        self.were_made_anew = False
        if changed or not before or self._walks < _MAX_WALKS or self._are_fleeting or any(p is None for p in before):
            self._walks += 1
            now = leaves_of(tensor)
            if before and all(p is None or not any(p is q for q in now) for p in before):
                # None of them is there any more: they were made anew, if they look the same.
                changed = self.were_made_anew = bool(now) and [p.shape for p in now] == self._shapes
            self._are_fleeting = self._are_fleeting or self.were_made_anew
            self.leaves = [weakref.ref(p) for p in now]
            self._shapes = [p.shape for p in now]
        self._note()
        self.changes += changed
        return changed

    def is_changed(self) -> bool:
        """True when the leaves were written to, or are gone, since the last backward; then they are noted anew."""
        now = [ref() for ref in self.leaves]
        changed = bool(now) and (any(leaf is None for leaf in now) or self._differ(now))
        self._note()
        if any(leaf is None for leaf in now):
            self.leaves = []
        return changed

    def parameters(self) -> list[torch.Tensor]:
        """The leaves that live."""
        return [parameter for ref in self.leaves if (parameter := ref()) is not None]

    def _differ(self, now: list[torch.Tensor | None]) -> bool:
        alive = [parameter for parameter in now if parameter is not None]
        if len(alive) < len(now):
            return False
        return [p._version for p in alive] != self._versions or _sums(alive) != self._sums

    def _note(self) -> None:
        now = self.parameters()
        self._versions, self._sums = [p._version for p in now], _sums(now)


class ByHand:
    """Turns the updates of a loop without an optimizer into steps, from the first update on."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._loop = ManualLoop()
        self.updates: ManualUpdates | None = None
        """What stands where the optimizer would be; None before the first update."""

    def before_backward(self, tensor: torch.Tensor) -> None:
        """A backward begins, and no optimizer has stepped: were the weights written to since the last one?"""
        loop = self._loop
        if not loop.has_changed(tensor):
            return
        if self.updates is None:
            frame = sys._getframe(1)
            optimizers = objects_in(frame, torch.optim.Optimizer)
            if optimizers and loop.changes < _SEVERAL_CHANGES:
                return  # weights may be loaded before an optimizer steps
            if loop.were_made_anew and objects_in(frame, torch.nn.Module):
                return  # inputs that want a gradient, each batch others
            if optimizers:
                kinds = ", ".join(sorted({type(o).__name__ for o in optimizers.values()}))
                self._training.unseen(
                    "optimizer", f"Weights change, yet no step of {kinds} was seen: it is compiled, or not torch's."
                )
            self.updates = ManualUpdates(loop.parameters())
            self._training.adopt(self.updates, frame)
        self._step(self.updates)

    def finish(self) -> None:
        """The round that is under way is over: it was a step if something has changed."""
        if self.updates is not None and self._loop.is_changed():
            self._step(self.updates)

    def _step(self, updates: ManualUpdates) -> None:
        entry = self._training.step_by_hand(updates)
        if entry is not None and self._loop.were_made_anew:
            updates.take(self._loop.parameters())
            stand_in: Any = updates
            entry.owned = Owned(stand_in, None, entry.number)


def _sums(parameters: list[torch.Tensor]) -> list[str]:
    """Sums over the beginnings of the first and last leaf, where they are on the CPU."""
    found = []
    with torch.no_grad():
        for parameter in parameters[:1] + parameters[1:][-_WATCHED + 1 :]:
            plain = parameter.detach()
            if plain.is_cpu and plain.layout is torch.strided and not plain.is_quantized and is_real(parameter):
                # As text: a NaN equals itself.
                found.append(repr(plain.reshape(-1)[:_ELEMENTS].sum().item()))
    return found


def leaves_of(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The leaves a graph accumulates gradients into, in the order in which they are met, nearest to the loss first."""
    found: list[torch.Tensor] = []
    queue: list[Any] = [tensor.grad_fn]
    seen: set[Any] = set()
    for node in queue:
        if node is None or node in seen:
            continue
        seen.add(node)
        if len(seen) > _MAX_NODES:
            break
        if type(node).__name__ == "AccumulateGrad":
            found.append(node.variable)
        else:
            queue += [following for following, _ in node.next_functions]
    return found
