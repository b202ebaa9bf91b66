"""The gradient of a whole model against differences of its loss, on some entries of each tensor that is trained."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..drilling.drill import Skip
from ..drilling.preserved import Kept
from ..drilling.subject import Subject
from ..probes.nested import tensors_in
from ..rules.engine.records import Json
from .differences import DOUBLE, SINGLE, SMALL, Entries, Precision, chosen, compare, entry_size
from .in_double import in_double
from .rewinding import Generators

ENTRIES = 4
EVALUATIONS = 800
STRIDE = 0.5
"""Of the size of a tensor that gets no gradient, what is added to see whether anything depends on it."""
LARGEST = 300_000_000
"""Elements of a model; one with more is not copied to float64."""
LOSS, OUTPUTS = "loss", "outputs"
"""What is differentiated: the loss, or a fixed random projection of everything the model returns."""


class Scalar:
    """One number of the model for the batch, the same each time it is asked for."""

    def __init__(self, subject: Subject, found: Generators, of: str) -> None:
        self.subject, self.generators, self.of = subject, found, of
        self._kept: Kept | None = None

    def __call__(
        self, poke: Callable[[], object] = lambda: None, watching: AbstractContextManager[Any] | None = None
    ) -> torch.Tensor:
        if self._kept is not None:
            self._kept.restore()
        self.generators.rewind()
        poke()
        with torch.enable_grad(), watching or nullcontext():
            output = self.subject.output()
            made = self.subject.loss(output) if self.of == LOSS and self.subject.loss else projection(output)
        if made.numel() != 1 or not made.requires_grad:
            raise ValueError("the model's output has no gradient" if self.of == OUTPUTS else "the loss has no gradient")
        if not torch.isfinite(made).all():
            raise ValueError(f"the {self.of} came to a number that is not finite")
        return made.reshape(())

    def settle(self) -> None:
        """Finds out what has to be put back for the same number twice; raises `ValueError` where nothing helps."""
        if float(self().detach()) == float(self().detach()):
            return
        self._kept = Kept([self.subject.model])  # a state that is carried on, say
        if float(self().detach()) != float(self().detach()):
            raise ValueError("the same weights and inputs gave two different numbers")


def projection(output: Any) -> torch.Tensor:
    """A random weighted sum, the same weights each time, of every float tensor that has a gradient."""
    generator = torch.Generator().manual_seed(0)
    total: torch.Tensor | None = None
    for _, one in tensors_in(output):
        if one.is_floating_point() and one.requires_grad and one.numel():
            weights = torch.randn(one.shape, generator=generator, dtype=torch.float64) / one.numel() ** 0.5
            part = (one.double() * weights.to(one.device)).sum()
            total = part if total is None else total + part.to(total.device)
    if total is None:
        raise ValueError("the model's output has no gradient")
    return total


@dataclass
class Whole:
    """What the check of a whole model came to."""

    precision: Precision
    of: str
    mode: str
    tensors: dict[str, Entries] = field(default_factory=dict)
    """By name, in the model's order."""
    all_tensors: int = 0
    cut: list[str] = field(default_factory=list)
    """Tensors with no gradient at all, though the number changes with them."""
    tricks: dict[str, int] = field(default_factory=dict)
    """Calls in the forward pass that hide something from autograd."""
    in_place: list[str] = field(default_factory=list)
    """In-place operations on what autograd has not been told of."""

    def facts(self) -> dict[str, Json]:
        """As JSON; of many tensors those with the largest errors."""
        rows: list[dict[str, Json]] = [{"name": name, **one.facts()} for name, one in self.tensors.items()]
        rows.sort(key=lambda row: -float(str(row["error"] or 0.0)))
        compared = sum(bool(row["entries"]) for row in rows)
        return {
            "dtype": str(self.precision.dtype).removeprefix("torch."),
            "of": self.of,
            "mode": self.mode,
            "all_tensors": self.all_tensors,
            "tensors": compared,
            "entries": sum(int(str(row["entries"])) for row in rows),
            "worst": list(rows[:64]),
            "tricks": dict(self.tricks),
            "in_place": list(self.in_place),
        }


def check_whole(subject: Subject, found: Generators, deadline: float) -> Whole:
    """Checks the model; raises `Skip` where it gives no number that can be differentiated twice alike."""
    model = subject.model
    trained = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    if not trained:
        raise Skip("the model has no parameter that can be trained")
    reason = ""
    for precision in (DOUBLE, SINGLE):
        if precision is DOUBLE and sum(one.numel() for one in model.parameters()) > LARGEST:
            continue
        for mode in ("eval", "train"):
            for of in (LOSS, OUTPUTS) if subject.loss is not None else (OUTPUTS,):
                try:
                    with _in(precision, subject), eager(), _mode(model, mode == "train"):
                        scalar = Scalar(subject, found, of)
                        scalar.settle()
                        whole = Whole(precision, of, mode, all_tensors=len(trained))
                        _measure(whole, scalar, trained, deadline)
                        return whole
                except Exception as error:  # tried in another way next
                    reason = reason or f"{type(error).__name__}: {error}"[:200]
    raise Skip(f"the gradient could not be made again: {reason}")


def _in(precision: Precision, subject: Subject) -> Any:
    if precision is SINGLE:
        return nullcontext()
    return in_double(subject.model, subject.args, subject.kwargs, subject.targets, subject.loss)


def eager() -> AbstractContextManager[Any]:
    """What is compiled runs as it was written: it would be compiled again for float64. Nothing before torch 2.6."""
    stance = getattr(torch.compiler, "set_stance", None)
    is_loaded = "torch._dynamo" in sys.modules  # without it nothing has been compiled, and loading it takes seconds
    return stance("force_eager") if is_loaded and stance is not None else nullcontext()


@contextmanager
def _mode(model: torch.nn.Module, is_training: bool) -> Iterator[None]:
    """Dropout and the statistics of a batch are off, or as in training; `train` may be the user's own code."""
    before = [(module, module.training) for module in model.modules()]
    try:
        for module, was in before:
            module.training = is_training and was
        yield
    finally:
        for module, was in before:
            module.training = was


def _measure(whole: Whole, scalar: Scalar, trained: list[tuple[str, torch.nn.Parameter]], deadline: float) -> None:
    began = time.monotonic()
    hidden = Hidden()
    value = scalar(watching=hidden)
    whole.tricks, whole.in_place = hidden.tricks, hidden.in_place
    tensors = [one for _, one in trained]
    made = torch.autograd.grad(value, tensors, allow_unused=True)
    gradients = dict(zip((name for name, _ in trained), made, strict=True))
    seconds = max(time.monotonic() - began, 1e-5)
    base = value.detach().double()
    rounding = whole.precision.rounding * max(abs(float(base)), 1e-3)
    most = int(min(EVALUATIONS, max(deadline - time.monotonic(), 0.0) / seconds))
    entries = ENTRIES if most >= 2 * ENTRIES * len(trained) else ENTRIES // 2
    generator = torch.Generator().manual_seed(0)
    for name, tensor in spread(trained, max(most // (2 * entries), 1)):
        gradient = gradients[name]
        dense = None if gradient is None else (gradient.to_dense() if gradient.is_sparse else gradient).detach()
        one = whole.tensors[name] = Entries()
        if tensor.is_complex() or not tensor.numel():
            continue
        for place in chosen(dense, tensor.numel(), entries, generator):
            if time.monotonic() > deadline:
                return
            analytic = 0.0 if dense is None else float(dense.reshape(-1)[place])
            change = _changing(scalar, tensor, place, base)
            one.entries.append(compare(change, analytic, entry_size(tensor, place), rounding, whole.precision))
        if dense is not None and bool(dense.any()):
            continue
        is_behind_steps = dense is None or bool(_STEPPED & set(whole.tricks))
        moves = any(entry.numeric and entry.kind != SMALL for entry in one.entries)
        if moves or (is_behind_steps and _depends(scalar, tensor, base, 1e3 * rounding)):
            whole.cut.append(name)


def _depends(scalar: Scalar, tensor: torch.nn.Parameter, base: torch.Tensor, bar: float) -> bool:
    """Whether the number changes with the tensor by steps at least: half of its size is added by chance."""
    before = tensor.data.clone()
    drawn = torch.randn(before.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change = (STRIDE * entry_size(tensor, 0) * drawn).to(before.device, before.dtype)
    try:
        return abs(float(scalar(lambda: tensor.data.copy_(before + change)).detach().double() - base)) > bar
    except ValueError:  # not finite there
        return False
    finally:
        tensor.data.copy_(before)


def _changing(scalar: Scalar, tensor: torch.nn.Parameter, place: int, base: torch.Tensor) -> Callable[[float], float]:
    """The change of the number with that of an entry."""
    index = tuple(int(one) for one in torch.unravel_index(torch.tensor(place), tensor.shape))

    def change(delta: float) -> float:
        before = tensor.data[index].clone()

        def poke() -> None:
            tensor.data[index] = before + delta

        try:
            return float(scalar(poke).detach().double() - base)
        except ValueError:  # not finite there
            return float("nan")
        finally:
            tensor.data[index] = before

    return change


def spread(items: list[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly from the first to the last."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / max(most - 1, 1))] for place in range(most)]


_NAMES = {
    "item": "item", "tolist": "tolist", "__float__": "item", "__int__": "item", "register_hook": "register_hook",
}  # fmt: skip
_STEPPED = frozenset({"round", "floor", "ceil", "trunc", "sign"})
"""Their gradient is 0 everywhere."""
_NOT_WRITING = frozenset({"requires_grad_", "detach_", "share_memory_", "rename_", "_is_view"})


class Hidden(TorchFunctionMode):
    """Counts what a forward pass hides from autograd, and finds in-place operations on it."""

    def __init__(self) -> None:
        super().__init__()
        self.tricks: dict[str, int] = {}
        self.in_place: list[str] = []
        self._aliases: dict[int, torch.Tensor] = {}
        """What `.data` and `detach()` of activations gave, by the memory: it is the activations' own."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Looks at the call, and makes it."""
        made = func(*args, **(kwargs or {}))
        name = str(getattr(func, "__name__", ""))
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if name == "_set_grad_enabled" and args and args[0] is False:
            self._count("no_grad")
        elif first is not None:
            self._look(func, name, first, made)
        return made

    def _look(self, func: Any, name: str, first: torch.Tensor, made: Any) -> None:
        is_data = name == "__get__" and getattr(func, "__self__", None) is torch.Tensor.data
        if is_data or (name in ("detach", "detach_", "numpy") and first.requires_grad):
            self._count("data" if is_data else "detach")
            if isinstance(made, torch.Tensor) and first.grad_fn is not None:
                self._aliases[made.untyped_storage().data_ptr()] = made
        elif name in _NAMES and first.requires_grad:
            self._count(_NAMES[name])
        elif name.rstrip("_") in _STEPPED and first.requires_grad:
            self._count(name.rstrip("_"))
        elif _writes(name):
            is_hidden = not first.requires_grad and first.untyped_storage().data_ptr() in self._aliases
            is_behind = first.grad_fn is not None and not torch.is_grad_enabled()
            if is_hidden or is_behind:
                self.in_place.append(name)

    def _count(self, name: str) -> None:
        self.tricks[name] = self.tricks.get(name, 0) + 1


def _writes(name: str) -> bool:
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in ("__index__", "__int__", "__invert__"))
    return name.endswith("_") and not name.startswith("_") and name not in _NOT_WRITING
