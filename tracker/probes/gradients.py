"""Reads the norms of gradients, weights and true updates, of each parameter, on closely watched steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from ..rules.engine.signals import GRAD_NORM, UPDATE_RATIO, WEIGHT_NORM, Signal
from .norms import dense, flat, grouped, norm_vectors, norms_alike, norms_of
from .parameters import SNAPSHOT_BYTES, is_real
from .probe import Probe
from .readback import Row

_Items = list[tuple[str, torch.Tensor]]

_KEPT_BYTES = 4 << 20
"""Most that is kept, for each optimizer, to copy its weights to."""


class _Group(NamedTuple):
    """Parameters of one device and type, as they were before a step."""

    names: list[str]
    parameters: list[torch.Tensor]
    copies: list[torch.Tensor]
    """A copy of each; or all of them end to end, when they are many small ones."""
    sizes: list[int] | None
    """Elements of each of those that lie end to end."""


class Gradients(Probe):
    """Gradients as the optimizer uses them, without a scaler's factor; steps that a scaler skips are left out.

    Where a step is given a closure that goes backward (L-BFGS, Lightning), the gradients are those that its first
    backward leaves, and only parameters that have one behind the step count as updated.
    """

    name = "gradients"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._before: list[_Group] = []
        self._norms: list[tuple[list[str], torch.Tensor]] = []
        """Norms of the gradients, written behind the step: a closure may go backward in it."""
        self._stepping: Any = None
        """Whose step is under way, until a backward was made in it."""
        self._has_gradients = True
        """Whether the gradients of that step were there ahead of it."""
        self._rows: dict[tuple[str, int, int], Row] = {}
        self._kept: dict[tuple[int, int], list[torch.Tensor]] = {}

    # -- gradients -------------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Any, owned: Any) -> None:
        self.end_close()  # what is left over when a step raises
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and found_inf.is_cpu and float(found_inf) > 0:
            return
        self._stepping = owned
        self._has_gradients = self.training.outer_backwards > 0
        if self._has_gradients:
            items = self._read(owned, getattr(optimizer, "grad_scale", None))
        else:  # those that are there, if any, are of the step before
            items = self._real((name, p) for name, p in owned.items() if p.requires_grad)
        if items:
            self._snapshot(owned.number, items)

    def after_backward(self) -> None:
        if self._stepping is not None and self.training.in_step:
            self._read(self._stepping)
            self._stepping = None

    def _read(self, owned: Any, scale: torch.Tensor | None = None) -> _Items:
        """Takes the norms of the gradients; returns the parameters that have one."""
        items = self._real((name, p) for name, p in owned.items() if p.grad is not None)
        self._norms = []
        if items:
            names = [name for name, _ in items]
            for indices, norms in norm_vectors([p.grad for _, p in items if p.grad is not None]):
                self._norms.append((_at(names, indices), norms if scale is None else norms / scale.to(norms.device)))
        return items

    def _real(self, items: Iterable[tuple[str, torch.Tensor]]) -> _Items:
        """Those that have values which can be read."""
        found = list(items)
        real = [(name, p) for name, p in found if is_real(p)]
        if len(real) < len(found):
            name, parameter = next((name, p) for name, p in found if not is_real(p))
            self.training.unseen(
                "parameters",
                f"{len(found) - len(real)} parameters, {name} first, are of {type(parameter).__name__} without values "
                "of its own: their gradients, weights and updates are not measured.",
            )
        return real

    def _write_norms(self, number: int) -> None:
        squares = []
        for group, (names, norms) in enumerate(self._norms):
            self._write(GRAD_NORM, number, group, names, norms)
            # In float64: the squares of finite norms overflow float32 from 1.8e19 on.
            squares.append(norms.double().square().sum())
        if len({square.device for square in squares}) == 1:
            whole = torch.stack(squares).sum().sqrt() if len(squares) > 1 else squares[0].sqrt()
            self.training.measure(GRAD_NORM, f"optimizer{number}" if number else "", whole)

    # -- updates ---------------------------------------------------------------------------------------------------

    def _snapshot(self, number: int, items: _Items) -> None:
        room, n = SNAPSHOT_BYTES, 0
        for _, parameter in items:
            room -= parameter.numel() * parameter.element_size()
            if room < 0:
                break
            n += 1
        names, parameters = [name for name, _ in items[:n]], [parameter for _, parameter in items[:n]]
        with torch.no_grad():
            local = dense(parameters)
            for are_small, indices in grouped(local):
                some, values = _at(parameters, indices), _at(local, indices)
                if are_small:
                    copies, sizes = [flat(values)], [p.numel() for p in values]
                else:
                    copies, sizes = self._copied((number, len(self._before)), values), None
                self._before.append(_Group(_at(names, indices), some, copies, sizes))

    def _copied(self, key: tuple[int, int], values: list[torch.Tensor]) -> list[torch.Tensor]:
        """Copies of tensors: of few bytes, in the memory of the last ones, as to get new pages takes longer."""
        kept = self._kept.get(key, [])
        if [(copy.shape, copy.dtype) for copy in kept] == [(value.shape, value.dtype) for value in values]:
            torch._foreach_copy_(kept, values)
            return kept
        copies = [value.clone() for value in values]
        self._kept.pop(key, None)
        if values[0].is_cpu and sum(value.numel() * value.element_size() for value in values) <= _KEPT_BYTES:
            self._kept[key] = copies
        return copies

    def after_step(self, optimizer: Any, owned: Any) -> None:
        was_early, before, self._before = self._has_gradients, self._before, []
        if not was_early and self._stepping is not None:
            self._read(owned)  # nothing went backward: the gradients were there all the time
        with torch.no_grad():
            self._write_norms(owned.number)
            for number, group in enumerate(before):
                self._compare(owned.number, number, group if was_early else _with_gradients(group))
        self.end_close()

    def _compare(self, optimizer: int, number: int, group: _Group) -> None:
        names, parameters, old, sizes = group
        if not names:
            return
        now = dense(parameters)
        if sizes is not None:
            weights = norms_of(old[0], sizes)
            changes = norms_of(old[0].sub_(flat(now)), sizes)
        else:
            weights = norms_alike(old)
            torch._foreach_sub_(old, now)
            changes = norms_alike(old)
        self._write(WEIGHT_NORM, optimizer, number, names, weights)
        ratios = changes / weights
        if weights.is_cpu and not bool((weights > 0).all()):
            # Of a weight of zero every change is infinitely large: there is no ratio to judge.
            known = (weights > 0).nonzero().flatten()
            names, ratios = _at(names, known.tolist()), ratios[known]
        self._write(UPDATE_RATIO, optimizer, number, names, ratios)

    def _write(self, signal: Signal, optimizer: int, group: int, names: list[str], values: torch.Tensor) -> None:
        key = (signal.name, optimizer, group)
        row = self._rows.get(key)
        if row is None or row.subjects != names:
            row = self._rows[key] = Row(signal.name, names)
        self.training.measure_row(row, values)

    def release(self) -> None:
        self._kept.clear()

    def end_close(self) -> None:
        self._before, self._norms, self._stepping = [], [], None


def _at(items: list[Any], indices: Sequence[int]) -> list[Any]:
    """The items at these indices; the list itself when that is all of them."""
    return items if len(indices) == len(items) else [items[index] for index in indices]


def _with_gradients(group: _Group) -> _Group:
    """Without the parameters that have no gradient behind the step: they were no part of it."""
    kept = [index for index, parameter in enumerate(group.parameters) if parameter.grad is not None]
    if len(kept) == len(group.parameters):
        return group
    names, parameters = _at(group.names, kept), _at(group.parameters, kept)
    if group.sizes is None:
        return _Group(names, parameters, _at(group.copies, kept), None)
    parts = group.copies[0].split(group.sizes)  # type: ignore[no-untyped-call]
    if not kept:
        return _Group([], [], [], None)
    return _Group(names, parameters, [torch.cat([parts[index] for index in kept])], _at(group.sizes, kept))
