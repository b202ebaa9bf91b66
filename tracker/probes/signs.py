"""Notes what tells kinds of training apart: targets made of the inputs, actions that are drawn, weights of before.

None of it is a measure of quality. It is for `rules.engine.profiles`, which says what kind of training a run is.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch

from ..rules.engine.records import Json
from .loss import LossNode, find_loss_node, unscaled
from .models import parameters_of, tensors_in
from .models import walk as parts_of
from .nested import Aside, may_compute
from .nodes import SHAPES, attribute, below, inputs, is_readable, kind, saved
from .probe import Pass, Probe, Tap
from .walk import walk

LOOKS = 4
"""Closely watched steps in which targets are compared with inputs; losses of several optimizers are looked at twice as
often."""

ALIKE = 0.6
"""Correlation of the targets with an input from which on they are taken to be made of it: a denoising autoencoder whose
noise is as strong as its images has 0.7, images and their masks, or their next frames, may have as much."""

LEAST, MOST = 32, 1 << 18
"""Elements of targets that are compared: fewer say nothing, and of more the first are taken."""

LEAST_PLACES = 6
"""Samples in a batch from which on labels that are all different, in all batches, are no accident: one batch of six in
65 has labels of six classes that are."""

NEAR = 0.15
"""How far mean and standard deviation of targets may be from those of standard normal noise."""

MOST_INPUTS = 8

_MOST_NODES = 32
_SUMS = frozenset({"Sum", "Mean", "Neg", "Div", "Mul", "Add", "Sub", "Stack", "Cat"})
_BESIDE = frozenset({"Stack", "Cat", "Gather", "Index", "Sum", "Neg"})
"""What lies between a log-probability and what it is multiplied with: that of the action is taken."""
_LOGARITHMS = frozenset({"Log", "LogSoftmax", "LogSigmoid", "Log1P"})

_SCORED = ("categorical:Categorical", "normal:Normal", "bernoulli:Bernoulli")
_DRAWN = (*_SCORED, "distribution:Distribution")


class Signs(Probe):
    """Fact `signs`, told on the watched steps 1, 2, 4, 8 ... and at the end::

    {"targets": "input": they are a floating-point input of the model; "like input": they have its shape and go
                with it; "noise": they have its shape and are standard normal, and the model is given one number
                for each sample besides, as in diffusion; "place": each sample's target is its place in the batch,
                or that of another, and there are as many classes as samples; else null. On the CPU only.
     "acting": share of watched steps ahead of whose backward a model was called without gradients,
     "samples": draws from distributions of torch, "scored": log-probabilities, with a gradient, of what has none,
     "crossed": with several optimizers, whether some losses reach the parameters of more of them than others do:
                as those of a GAN; false where each reaches those of one, null where that cannot be told,
     "reloads": times that weights in training were replaced by `load_state_dict`, and trained on,
     "pretrained": weights that were trained earlier in this run, or loaded, are part of the model now}
    """

    name = "signs"
    taps = (
        *(Tap(f"torch.distributions.{where}", "sample", after="sampled") for where in _DRAWN),
        *(Tap(f"torch.distributions.{where}", "log_prob", after="scored") for where in _SCORED),
        Tap("torch.nn.modules.module:Module", "load_state_dict", after="loaded"),
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._past: dict[int, weakref.ref[torch.Tensor]] = {}
        """Parameters trained in earlier trainings of the run, or loaded before they were trained."""
        self._begin()

    def _begin(self) -> None:
        self._inputs: list[torch.Tensor] = []
        """Held until the backward that follows: a model may let go of what it was given."""
        self._features: list[weakref.ref[torch.Tensor]] = []
        self._has_number = self._acts = self._has_labels = False
        self._steps = self._acting = 0
        self._targets: str | None = None
        self._samples = self._scored = self._reloads = self._pending = 0
        self._owners: set[frozenset[int]] = set()
        self._owners_looked = 0
        self._pretrained = self._picked = self._credit = False

    # -- what happens ----------------------------------------------------------------------------------------------

    def sampled(self, args: Any, kwargs: Any, result: Any) -> None:
        """Something was drawn from a distribution."""
        self._samples += 1

    def scored(self, args: Any, kwargs: Any, result: Any) -> None:
        """A log-probability was computed."""
        value = args[1] if len(args) > 1 else kwargs.get("value")
        if type(result) is torch.Tensor and result.requires_grad and not getattr(value, "requires_grad", True):
            self._scored += 1

    def loaded(self, args: Any, kwargs: Any, result: Any) -> None:
        """Weights were put into a module."""
        module = args[0] if args else None
        if not isinstance(module, torch.nn.Module) or not self.training.done:
            return
        held = [p for _, part in parts_of(module) for p in parameters_of(part).values()]
        if any(self.training.name_of(parameter) is not None for parameter in held):
            self._pending += 1
        else:
            self._past.update({id(p): weakref.ref(p) for p in held})

    def begin_close(self) -> None:
        self._inputs, self._features, self._has_number, self._acts = [], [], False, False

    def root_forward(self, call: Pass) -> None:
        if not self.training.close:
            return
        was_trained = self._past and not self._pretrained and self._steps <= LOOKS and self._is_known(call.module)
        if not call.has_grad:
            self._acts = True
            if was_trained:
                self._features += [weakref.ref(tensor) for tensor in tensors_in(call.output)]
            return
        given = list(tensors_in((call.args, dict(call.kwargs))))[:MOST_INPUTS]
        # A frozen body that is called by itself gives the head its inputs; a teacher gives nobody any.
        self._pretrained = (
            self._pretrained or bool(was_trained) or any(ref() is one for ref in self._features for one in given)
        )
        if self._steps <= LOOKS and self._targets is None:
            self._inputs += [
                t for t in given if t.is_cpu and t.grad_fn is None and t.is_floating_point() and t.dim() > 1
            ]
        self._has_number = self._has_number or any(_is_a_number_each(tensor) for tensor in given)

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        # The best weights that are put back at the end are not trained on: no backward follows.
        self._reloads, self._pending = self._reloads + self._pending, 0
        if may_compute():
            self._look(tensor, loss)
        self._inputs = []

    def _look(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        with Aside():
            node: LossNode | None = self.training.loss_node
            root = tensor.grad_fn if loss is tensor else unscaled(tensor)
            if self._steps <= LOOKS:
                if node is not None and self._targets in (None, "place"):
                    self._compare(node.targets, node.n_classes)
                node = node or find_loss_node(root)  # one that kept no targets will do
                self._picked = self._picked or (node is not None and _is_picked(node.behind))
                self._credit = self._credit or _is_credit(root)
            if root is not None and len(self.training.owned) > 1 and self._owners_looked < 2 * LOOKS:
                self._owners_looked += 1
                self._note_owners(root)

    def end_close(self) -> None:
        self._steps += 1
        self._acting += self._acts
        self._inputs, self._features = [], []
        if not self._steps & (self._steps - 1):
            self._tell()

    def begin_another(self) -> None:
        # The optimizers of the training that is over are still known here, and none of the new one.
        for owned in self.training.owned:
            self._past.update({id(p): weakref.ref(p) for _, p in owned.items()})
        self._begin()

    def finish(self) -> None:
        if self._steps:
            self._tell()

    # -- what it means ---------------------------------------------------------------------------------------------

    def _is_known(self, module: Any) -> bool:
        """Whether a parameter in the module is one that was trained before, or loaded."""
        held = (p for _, part in parts_of(module) for p in parameters_of(part).values())
        return any((known := self._past.get(id(p))) is not None and known() is p for p in held)

    def _compare(self, targets: Any, n_classes: int | None) -> None:
        if not isinstance(targets, torch.Tensor) or not targets.is_cpu:
            return
        if not targets.is_floating_point():
            n = targets.numel()
            if n_classes == n and n >= LEAST_PLACES and targets.dim() == 1 and not self._has_labels:
                places = torch.arange(n, dtype=targets.dtype)
                self._has_labels = not bool((targets.sort().values == places).all())
                self._targets = None if self._has_labels else "place"
            return
        flat = targets.detach().reshape(-1)[:MOST]
        if flat.numel() < LEAST:
            return
        for given in self._inputs:
            if given.numel() != targets.numel():
                continue
            if self._has_number and _is_noise(flat):
                self._targets = "noise"
                return
            values = given.detach().reshape(-1)[:MOST].to(flat.dtype)
            if given.data_ptr() == targets.data_ptr() or bool((values == flat).all()):
                self._targets = "input"
                return
            if _correlation(values, flat) > ALIKE and not _is_what_follows(given, targets):
                self._targets = "like input"

    def _note_owners(self, root: Any) -> None:
        holders = {id(p): owned.number for owned in self.training.owned for _, p in owned.items()}
        found = walk(root)
        if found.is_whole and not found.is_opaque:
            reached = frozenset(holders[id(leaf)] for leaf in found.leaves if id(leaf) in holders)
            if reached:
                self._owners.add(reached)

    def _crossed(self) -> bool | None:
        if len(self._owners) < 2:
            return None
        return any(len(one) > 1 for one in self._owners)

    def _tell(self) -> None:
        told: dict[str, Json] = {
            "targets": self._targets,
            "picked": self._picked,
            "credit": self._credit,
            "acting": round(self._acting / self._steps, 2),
            "samples": self._samples,
            "scored": self._scored,
            "crossed": self._crossed(),
            "reloads": self._reloads,
            "pretrained": self._pretrained,
        }
        self.training.fact("signs", told)


def _is_picked(behind: Any) -> bool:
    """Whether outputs are one of each row: `q.gather(1, action)`, or `q[range(n), action]`."""
    at = below(behind)
    if at is None or kind(at) == "Gather":
        return at is not None
    if kind(at) != "Index" or not is_readable(at, "indices"):
        return False
    indices: Any = getattr(at, attribute("_saved_", "indices"), None) or ()
    rows = indices[0] if len(indices) > 1 else None
    if not isinstance(rows, torch.Tensor) or not rows.is_cpu or rows.dim() != 1 or rows.dtype is not torch.long:
        return False
    return torch.equal(rows, torch.arange(len(rows)))


def _is_credit(root: Any) -> bool:
    """Whether the loss is a sum of products of log-probabilities and numbers of both signs."""
    waiting = [root]
    for _ in range(_MOST_NODES):
        node = waiting.pop(0) if waiting else None
        if node is None:
            return False
        parts = [part for part in inputs(node) if part is not None]
        if kind(node) == "Mul" and len(parts) == 1:
            by = saved(node, "self" if inputs(node)[0] is None else "other")
            if (
                isinstance(by, torch.Tensor)
                and by.is_cpu
                and by.numel() > 1
                and bool((by < 0).any() and (by > 0).any())
            ):
                return kind(below(parts[0], SHAPES | _BESIDE)) in _LOGARITHMS
        if kind(node) in SHAPES | _SUMS:
            waiting += parts[:1] if kind(node) in ("Stack", "Cat") else parts
    return False


def _is_a_number_each(tensor: torch.Tensor) -> bool:
    """Whether a tensor has one number for each sample: a time, say."""
    return tensor.dim() == 1 or (tensor.dim() == 2 and tensor.shape[1] == 1)


def _is_noise(values: torch.Tensor) -> bool:
    spread, mean = torch.std_mean(values.float())
    return abs(float(mean)) < NEAR and abs(float(spread) - 1.0) < NEAR


def _is_what_follows(given: torch.Tensor, targets: torch.Tensor) -> bool:
    """Whether targets are the inputs moved by one place, in time: a forecast."""
    if given.shape != targets.shape:
        return False
    for dim, n in enumerate(given.shape):
        if n > 1 and torch.equal(given.detach().narrow(dim, 1, n - 1).to(targets.dtype), targets.narrow(dim, 0, n - 1)):
            return True
    return False


def _correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    """Pearson's correlation; 0 where one of the two does not vary."""
    a, b = one.float() - one.float().mean(), other.float() - other.float().mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if 0.0 < scale < float("inf") else 0.0
