"""What an iteration computed, as fingerprints of bits: of each module's inputs and outputs, gradients and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..drilling.subject import Subject
from ..probes.nested import Aside, tensors_in
from ..rules.engine.records import Json

MOST = 4000
"""Calls of modules that are kept of an iteration."""
_CHUNK = 1 << 22
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

INPUTS, BETWEEN, MODULE, PATH, LOSS, GRADIENT, SCHEDULE, OPTIMIZER, BUFFER = (
    "inputs", "between", "module", "path", "loss", "gradient", "schedule", "optimizer", "buffer",
)  # fmt: skip
"""Where two iterations part: what the model is called with; code of a module between those it calls; what a module
makes of the same inputs; which modules are called; the loss; a gradient; what an optimizer is set to; what it makes
of the same gradients; what is kept beside the weights."""

Bits = tuple[str, torch.Tensor]
"""Dtype and shape, and two sums of the bits as whole numbers, which do not depend on the order of adding."""


def bits(tensor: torch.Tensor) -> Bits:
    """The fingerprint of a tensor, on its device; equal bits are equal, NaN included."""
    value = tensor.detach()
    value = torch.view_as_real(value) if value.is_complex() else value
    value = value.to(torch.uint8) if value.dtype == torch.bool else value
    flat = value.contiguous().reshape(-1).view(_INTEGERS[value.element_size()])
    total = torch.zeros(2, dtype=torch.int64, device=flat.device)
    for start in range(0, flat.numel(), _CHUNK):
        part = flat[start : start + _CHUNK].long()
        places = torch.arange(start, start + part.numel(), device=part.device)
        total += torch.stack([part.sum(), (part * (2 * places * 0x9E3779B1 + 1)).sum()])
    return f"{tensor.dtype} {list(tensor.shape)}", total


@dataclass
class Seen:
    """What was seen of one iteration."""

    calls: list[tuple[str, str, list[Bits], str]] = field(default_factory=list)
    """(`in` or `out`, module, fingerprints, numbers and words among the arguments), in the order they came."""
    settings: list[str] = field(default_factory=list)
    """Of the optimizer before each step: rates and the like."""
    gradients: list[tuple[str, Bits]] = field(default_factory=list)
    """Before each step of an optimizer, or at the end where there was none."""
    values: dict[str, torch.Tensor] = field(default_factory=dict)
    """Copies of the gradients."""
    ends: dict[str, torch.Tensor] = field(default_factory=dict)
    """Copies of weights and buffers at the end."""
    weights: dict[str, Bits] = field(default_factory=dict)
    buffers: dict[str, Bits] = field(default_factory=dict)
    loss: float = float("nan")

    def end(self, model: torch.nn.Module, loss: float) -> None:
        """The iteration is over."""
        self.loss = loss
        if not self.gradients:
            self.keep_gradients(model)
        with Aside():
            self.weights = {name: bits(one) for name, one in model.named_parameters() if _is_plain(one)}
            self.buffers = {name: bits(one) for name, one in model.named_buffers() if _is_plain(one)}
            named = [*model.named_parameters(), *model.named_buffers()]
            self.ends = {name: one.detach().clone() for name, one in named if _is_plain(one)}

    def keep_gradients(self, model: torch.nn.Module) -> None:
        """Those that are there now."""
        with Aside():
            for name, one in model.named_parameters():
                gradient = one.grad
                if gradient is not None and gradient.layout is torch.sparse_coo:
                    gradient = gradient.coalesce().values()
                if gradient is not None and _is_plain(gradient):
                    self.gradients.append((name, bits(gradient)))
                    self.values[name] = gradient.detach().clone()


@contextmanager
def seeing(subject: Subject) -> Iterator[Seen]:
    """Watches an iteration: what each module was called with and made, and the gradients before each step."""
    seen, model = Seen(), subject.model
    handles: list[Any] = []

    def note(stage: str, name: str, value: Any) -> None:
        if len(seen.calls) < MOST and not torch.compiler.is_compiling():
            with Aside():
                found = [bits(one) for _, one in tensors_in(value)]
            seen.calls.append((stage, name, found, _words(value)))

    def stepping(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        seen.keep_gradients(model)
        groups = optimizer.param_groups
        seen.settings.append(_words([{key: one for key, one in group.items() if key != "params"} for group in groups]))

    try:
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):  # takes no hooks
                continue
            handles.append(
                module.register_forward_pre_hook(
                    lambda _, args, kwargs, name=name: note("in", name, (list(args), kwargs)), with_kwargs=True
                )
            )
            handles.append(module.register_forward_hook(lambda _, args, made, name=name: note("out", name, made)))
        handles.append(register_optimizer_step_pre_hook(stepping))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Parting:
    """Where two iterations part for the first time."""

    kind: str = ""
    """Empty: nowhere."""
    name: str = ""
    loss: float = 0.0
    """Relative difference of the losses; 1 where only one is finite."""
    gradient: float = 0.0
    """The largest of the parameters' relative differences of gradients, by norm."""
    end: float = 0.0
    """The largest relative difference of a weight or buffer at the end, by norm."""
    weights: int = 0
    """Parameters with other bits at the end."""
    total: int = 0

    def facts(self, model: torch.nn.Module) -> dict[str, Json]:
        """As JSON."""
        modules = dict(model.named_modules())
        owner = self.name if self.name in modules else self.name.rpartition(".")[0]
        kind = type(modules[owner]).__name__ if self.kind and owner in modules else ""
        return {
            "kind": self.kind, "name": self.name, "type": kind, "loss": self.loss, "gradient": self.gradient,
            "end": self.end, "weights": self.weights, "total": self.total,
        }  # fmt: skip


def parting(first: Seen, second: Seen) -> Parting:
    """Compares two iterations from the same state."""
    kind, name = _first_difference(first, second)
    weights = sum(not _equal(first.weights.get(key), one) for key, one in second.weights.items())
    gradient = max((_relative(first.values[key], second.values.get(key)) for key in first.values), default=0.0)
    end = max((_relative(first.ends[key], second.ends.get(key)) for key in first.ends), default=0.0)
    return Parting(kind, name, _apart(first.loss, second.loss), gradient, end, weights, len(second.weights))


def _first_difference(first: Seen, second: Seen) -> tuple[str, str]:
    inside: list[str] = []
    for ours, theirs in zip_longest(first.calls, second.calls):
        if ours is None or theirs is None or ours[:2] != theirs[:2]:
            return PATH, (ours or theirs)[1]
        stage, name = ours[:2]
        if stage == "out":
            inside = inside[: inside.index(name)] if name in inside else inside
        if ours[3] != theirs[3] or not _all_equal(ours[2], theirs[2]):
            if stage == "out":
                return MODULE, name
            return (BETWEEN, inside[-1]) if inside else (INPUTS, name)
        if stage == "in":
            inside.append(name)
    if _apart(first.loss, second.loss) or (first.loss != second.loss and first.loss == first.loss):
        return LOSS, ""
    if [name for name, _ in first.gradients] != [name for name, _ in second.gradients]:
        return PATH, ""
    for (name, ours), (_, theirs) in zip(reversed(first.gradients), reversed(second.gradients), strict=True):
        if not _equal(ours, theirs):
            return GRADIENT, name
    if first.settings != second.settings:
        return SCHEDULE, ""
    for kind, before, after in ((OPTIMIZER, first.weights, second.weights), (BUFFER, first.buffers, second.buffers)):
        for name, theirs in after.items():
            if not _equal(before.get(name), theirs):
                return kind, name
    return "", ""


def _all_equal(ours: Sequence[Bits], theirs: Sequence[Bits]) -> bool:
    return len(ours) == len(theirs) and all(map(_equal, ours, theirs))


def _equal(ours: Bits | None, theirs: Bits | None) -> bool:
    return ours is not None and theirs is not None and ours[0] == theirs[0] and torch.equal(ours[1], theirs[1])


def _apart(first: float, second: float) -> float:
    if first == second or (first != first and second != second):
        return 0.0
    found = abs(first - second) / max(abs(first), abs(second))
    return found if found == found and found != float("inf") else 1.0


def _relative(first: torch.Tensor, second: torch.Tensor | None) -> float:
    """|a - b| / |a| by norm; 1 where it is no number."""
    if second is None or first.shape != second.shape:
        return 1.0
    with Aside():
        if torch.equal(first.nan_to_num(), second.nan_to_num()):
            return 0.0
        first, second = (torch.view_as_real(one) if one.is_complex() else one.float() for one in (first, second))
        found = float((first - second).norm() / first.norm().clamp_min(1e-300))
    return min(found, 1.0) if found == found else 1.0


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized


def _words(value: Any, depth: int = 0) -> str:
    """Numbers and words among the arguments: a strength, a temperature, a mode."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return repr(value)[:100]
    if depth > 3:
        return ""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_words(one, depth + 1)}" for key, one in list(value.items())[:64]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_words(one, depth + 1) for one in value[:64]) + "]"
    return ""
