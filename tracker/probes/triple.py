"""Learns from training steps what the loss is made of: which output of the model, which targets, which function."""

from __future__ import annotations

import math
import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .by_hand import Variables
from .criterion import Criterion, Mismatch, Outputs, Place, Target, change_between, start_of, way
from .data import Data
from .loss import find_loss_node, unscaled
from .nested import tensors_in
from .nodes import kind
from .probe import Pass

if TYPE_CHECKING:
    from .loss import LossNode
    from .training import Training

_ATTEMPTS = 20
"""Closely watched losses after which a triple that was never found is given up."""

_TOLERANCE = 1e-3
"""Relative difference between the script's loss and ours, computed from what was matched, that still is the same."""

_TOLERANCE_OF_HALVES = 2e-2
"""The same for a loss in float16 or bfloat16, which has two to three digits."""

_INDEXED = 3
"""Attempts to find nameless targets among the rows of a variable: each may take some milliseconds."""

_MOST_PASSES = 8
_WRAPPERS = ("DistributedDataParallel", "DataParallel")


class _Noted(NamedTuple):
    """A training pass; nothing of it is kept alive."""

    module: weakref.ref[Any]
    places: Outputs
    arguments: list[tuple[str, weakref.ref[torch.Tensor]]]


Candidates = list[tuple[str, str, torch.Tensor]]
"""Tensors that may be the targets: source and path, as in `Target`."""


class Triple:
    """The triple (inputs, outputs, targets) of the loss, and the loss computed once more from it.

    What is computed is compared with the script's own: what does not agree is not used.
    """

    def __init__(self, training: Training) -> None:
        self.criterion: Criterion | None = None
        """Makes the loss of outputs and targets; None before it was learned."""
        self.verified: bool | None = None
        """Whether it makes the script's own loss; None before that is known, False where it cannot be told."""
        self.factor: float | None = None
        """What the script multiplies the loss with; None where that was not seen."""
        self.reason = ""
        """Why nothing was matched so far."""
        self.variables = Variables()
        self._training = training
        self._attempts = 0
        self._indexed = 0
        self._outputs: deque[_Noted] = deque(maxlen=_MOST_PASSES)
        self._expected: float | None = None
        self._trained: weakref.ref[Any] | None = None

    def begin(self) -> None:
        """A step begins that is looked at closely."""
        self._outputs.clear()
        self._expected = None

    def end(self) -> None:
        """It is over."""
        self._outputs.clear()

    def note(self, call: Pass) -> None:
        """A training pass: its outputs are known again in the graph of the loss."""
        places: Outputs = {}
        for path, tensor in tensors_in(call.output, "output"):
            if tensor.grad_fn is not None and tensor.dim():
                places[kind(tensor.grad_fn), tensor.grad_fn._sequence_nr()] = Place(path, tuple(tensor.shape))
        if not places:
            return
        given = _given(call)
        criterion = self.criterion
        if self.verified is None and criterion is not None and self.is_trained(call.module):
            try:
                outputs, targets, _ = self.pair(call, criterion)
                loss = criterion.loss(outputs, targets)
                self._expected = float(loss) if loss.is_cpu else None
            except Mismatch:
                self._expected = None
        arguments = [(path, weakref.ref(tensor)) for path, tensor in given]
        self._outputs.append(_Noted(weakref.ref(call.module), places, arguments))
        data = self._training.probe(Data)
        if data is not None and data.current is None:
            self.variables.note_training(call, sys._getframe())

    def pair(self, call: Pass, criterion: Criterion) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Prepared outputs and targets, and the output itself; raises `Mismatch`."""
        output = next((t for path, t in tensors_in(call.output, "output") if path == criterion.path), None)
        target = criterion.target
        if output is None or target is None:
            raise Mismatch(f"the model returned no tensor at {criterion.path}")
        data = self._training.probe(Data)
        drawn = data.current if data is not None else None
        found = None
        if target.source == "pass":
            found = next((tensor for path, tensor in _given(call) if path == target.path), None)
        elif target.source == "batch" and drawn is not None:
            found = drawn.tensor_at(target.path)
        # A variable beside a loader's batch may still be that of the batch before: where the loss was computed again
        # and came out the same, it is set ahead of the pass.
        if found is None and target.source != "pass" and (drawn is None or self.verified is not False):
            found = self.variables.target_for(call, target, output, sys._getframe())
        if found is None:
            raise Mismatch(f"the targets, in training {target.source} {target.path}, were not found for it")
        if found.device != output.device:
            # Targets are few: they go to the outputs. From pinned memory that does not wait for the device.
            found = found.pin_memory() if output.is_cuda and found.is_cpu else found
            found = found.to(output.device, non_blocking=True)
        return (*criterion.prepare(output, found), output)

    def learn(self, node: LossNode | None, tensor: torch.Tensor, loss: torch.Tensor) -> bool:
        """A backward of `tensor`, `node` being the function of the loss where known; True when more is known now."""
        if node is None and self.verified is None and self._attempts < _ATTEMPTS:
            # One that kept no targets, such as `l1_loss`, may do all the same.
            node = find_loss_node(tensor.grad_fn if loss is tensor else unscaled(tensor))
        if node is None:
            self.reason = self.reason or "the function of the loss is not recognised"
            return False
        verified = self.verified
        if self.verified is None:
            self._verify(node, loss)
        if self.criterion is None and self._attempts < _ATTEMPTS:
            self._attempts += 1
            self.reason = self._learn(node, loss) or self.reason
        return self.verified is not verified

    def _learn(self, loss: LossNode, value: torch.Tensor) -> str | None:
        """Finds output and targets of a loss; returns why not."""
        reason = "no forward pass of the whole model was seen before the loss"
        for noted in reversed(self._outputs):
            found = way(start_of(loss), noted.places)
            if isinstance(found, str):
                reason = found
                continue
            try:
                criterion = Criterion(loss, *found)
            except Mismatch as error:
                return str(error)
            criterion.target = self._find_target(loss, criterion, found[0], noted)
            if criterion.target is None:
                return "the targets of the loss were found neither in the batch nor among the variables"
            self.criterion, self._trained, self.verified = criterion, noted.module, None
            if criterion.is_part or not value.is_cpu or criterion.target.is_indexed:
                self.verified = False  # there is nothing to compare with
            return None
        return reason

    def _find_target(self, loss: LossNode, criterion: Criterion, place: Place, noted: _Noted) -> Target | None:
        used = loss.targets
        data = self._training.probe(Data)
        drawn = data.drawn if data is not None else None
        candidates: Candidates = [("pass", path, t) for path, ref in noted.arguments if (t := ref()) is not None]
        if drawn is not None and drawn.step == self._training.done:
            candidates += [("batch", path, t) for path, t in drawn.tensors()]
        candidates += [("frame", name, t) for name, t in self.variables.around(sys._getframe())]
        for source, path, tensor in candidates:
            if used is None:  # the loss kept none (`l1_loss`): the shape decides, and comparing the losses
                is_it = source != "pass" and tensor.is_floating_point() and tensor.numel() == math.prod(place.shape)
                change = "same" if is_it else None
            else:
                change = change_between(tensor, used, criterion.ignored)
            if change == "argmax" and used is not None and not bool((used != used.reshape(-1)[:1]).any()):
                change = None  # one label alone may be the largest place of anything
            if change is not None:
                return Target(source, path, change, tensor.dtype, tensor.dim())
        if used is not None and self._indexed < _INDEXED and (drawn is None or drawn.step != self._training.done):
            self._indexed += 1
            given = [one for _, ref in noted.arguments if (one := ref()) is not None]
            for name, whole in self.variables.indexed(given, used, sys._getframe()):
                return Target("frame", name, "same", whole.dtype, whole.dim(), is_indexed=True)
        return None

    def _verify(self, loss: LossNode, value: torch.Tensor) -> None:
        """Compares the script's loss with what we foretold."""
        expected, criterion = self._expected, self.criterion
        if expected is None or criterion is None or not value.is_cpu:
            return
        theirs = float(value)
        tolerance = _TOLERANCE_OF_HALVES if value.dtype in (torch.float16, torch.bfloat16) else _TOLERANCE
        if loss.function != criterion.function or not math.isfinite(theirs):
            self.criterion = None
        elif criterion.is_scaled and expected:
            self.factor = theirs / expected
            self.verified = False  # any two numbers have a factor
        elif math.isclose(expected, theirs, rel_tol=tolerance, abs_tol=1e-6):
            self.verified, self.factor = True, 1.0
        else:
            self.criterion = None
            self.reason = (
                f"the loss made again from the model's output and the targets is {expected:.6g}, the script's own "
                f"is {theirs:.6g}"
            )

    def is_trained(self, module: Any, or_alike: bool = False) -> bool:
        """Whether a module is the model of which the loss was learned, or one of its class."""
        trained = self._trained() if self._trained is not None else None
        if trained is None:
            return False
        module, trained = _unwrapped(module), _unwrapped(trained)
        return module is trained or (or_alike and type(module) is type(trained))


def _unwrapped(module: Any) -> Any:
    """The model itself, where a class of torch's that spreads it over devices holds it."""
    inner = module.__dict__.get("_modules", {}).get("module") if type(module).__name__ in _WRAPPERS else None
    return module if inner is None else inner


def _given(call: Pass) -> list[tuple[str, torch.Tensor]]:
    """What the model was given: arguments by their place, keywords by their name."""
    return tensors_in((list(call.args), call.kwargs))
