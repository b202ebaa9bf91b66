"""Recognises the order of a training step, and what becomes of the gradients between one step and the next."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from .models import tensors_in
from .norms import norm_vectors
from .parameters import is_real
from .probe import Pass, Probe, Tap
from .readback import Label, Readback

_MOST_NOTED = 64
"""Things noted of one step: a hundred accumulated micro-batches are the same few again and again."""
_LONGEST_BLOCK = 5
"""Things that may repeat together: zero_grad, forward, backward, clip, step."""
_STATES = ("none", "zero", "kept")


class Loop(Probe):
    """The facts `loop` and `accumulation`.

    `loop`: `{"order": ["zero_grad", "forward", "backward", "unscale", "clip", "step", "scheduler"],
    "grads_at_backward": "none" | "zero" | "kept" | null, "discarded": bool, "wiped": bool}`. `order` is that of two
    closely watched steps in succession; what repeats within a step stands there once, and what comes before the next
    forward pass is taken to be its beginning or the end of the step, so that the first thing is one of zero_grad,
    forward and backward. `grads_at_backward` says what the gradients were when the first backward behind a step began
    (at best over the backwards between two steps of the same optimizer, at worst over the optimizers); `kept` ones are
    those of an earlier step, to which this one's are added. In a closure they are kept from one evaluation to the next,
    between which the optimizer has moved the weights. `discarded` is true once all gradients that a backward had
    left an optimizer were gone, or zero, when it stepped. `wiped` is true once, in two steps, all that a backward had
    left was gone when the next backward of the same step began, and the step was made with what the last one left; not
    where gradients of the model's input are wanted, as for adversarial samples.

    `accumulation`: `{"backwards": n, "batches": m}`: every step has n backward calls outside of closures, on m batches
    of a loader (0 without one). Told once two steps in succession are so and n is above one, and when it changes.
    """

    name = "loop"
    taps = (
        Tap("torch.optim.optimizer:Optimizer", "zero_grad", after="zeroed", close_only=True),
        Tap("torch.nn.modules.module:Module", "zero_grad", after="zeroed", close_only=True),
        Tap("torch.amp.grad_scaler:GradScaler", "unscale_", after="unscaled", close_only=True),
        Tap("torch.amp.grad_scaler:GradScaler", "update", after="scaler_updated", close_only=True),
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._noted: list[str] = []
        self._last_order: list[str] = []
        self._order: list[str] | None = None
        self._worst: int | None = None
        self._is_discarded = False
        self._best: dict[int, int] = {}
        """For each optimizer, by number: the best state of its gradients when a backward began, since its last step."""
        self._left: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}
        """Gradients that a backward has left, by the id of their parameter: the parameter, and the version then."""
        self._asked: dict[tuple[int, int], int] = {}
        """How often the norm of an optimizer's gradients was asked for, by its number and the step."""
        self._late: set[tuple[int, int]] = set()
        """Of those, what a device has still to answer, and that decides alone."""
        self._readback = Readback(self._heard)
        self._is_attack = self._has_stepped = False
        self._wipes = (0, 0)
        """How often all gradients were gone when a backward of the step began, and how many backwards it has had."""
        self._n_wiped = 0
        self._inside: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}
        """For each optimizer, by number: a parameter, and its version behind the latest backward of a closure."""
        self._counts = (0, 0, 0)
        self._per_step = (0, 0)

    # -- order -----------------------------------------------------------------------------------------------------

    def note(self, what: str) -> None:
        """Something happens in a step that is looked at closely."""
        if not self.training.close or self._noted[-1:] == [what]:
            return
        if len(self._noted) >= _MOST_NOTED:
            self._noted = _without_repeats(self._noted)
        if len(self._noted) < _MOST_NOTED:
            self._noted.append(what)

    def zeroed(self, args: Any, kwargs: Any, result: Any) -> None:
        """An optimizer's or a module's gradients were reset."""
        self.note("zero_grad")

    def unscaled(self, args: Any, kwargs: Any, result: Any) -> None:
        """A scaler took its factor out of the gradients."""
        if getattr(args[0], "_enabled", False):
            self.note("unscale")

    def scaler_updated(self, args: Any, kwargs: Any, result: Any) -> None:
        """A scaler's step is over: where it skipped its optimizer, nothing else tells."""
        self._has_stepped, self._wipes = True, (0, 0)

    def adopted(self) -> None:
        # It may have the number of one that is gone, of whose gradients the rest is about.
        self._best, self._asked, self._inside = {}, {}, {}

    def begin_close(self) -> None:
        self._noted, self._best, self._left, self._asked = [], {}, {}, {}
        self._is_attack, self._wipes = False, (0, 0)
        training = self.training
        self._counts = (training.batches, training.turns, training.step)

    def root_forward(self, call: Pass) -> None:
        if call.has_grad:
            self.note("forward")
            self._is_attack = self._is_attack or any(t.requires_grad and t.is_leaf for t in tensors_in(call.args))

    def end_close(self) -> None:
        if "step" not in self._noted:
            return
        order = _from_its_beginning(_without_repeats(self._noted))
        is_new = order == self._last_order != self._order
        self._last_order = order
        if is_new:
            self._order = order
        self._tell()

    def _tell(self) -> None:
        if self._order is not None:
            state = None if self._worst is None else _STATES[self._worst]
            self.training.fact(
                "loop",
                {
                    "order": [*self._order],
                    "grads_at_backward": state,
                    "discarded": self._is_discarded,
                    "wiped": self._n_wiped > 1,
                },
            )

    # -- gradients -------------------------------------------------------------------------------------------------

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self.note("backward")
        if not self.training.in_step:
            is_wiped = (
                bool(self._left) and not self._has_stepped and all(_is_gone(*left) for left in self._left.values())
            )
            self._wipes = (self._wipes[0] + is_wiped, self._wipes[1] + 1)
        self._left = {}
        if self.training.in_step:
            self._look_inside()
            return
        for owned in self.training.owned:
            grads = [p.grad for _, p in owned.items() if p.is_leaf and p.grad is not None and is_real(p)]
            if not grads:
                self._best[owned.number] = 0
            elif self._best.get(owned.number, 2) > 1:
                key = (owned.number, self.training.step)
                self._asked[key] = self._asked.get(key, 0) + 1
                self._ask("before", owned.number, grads)

    def _look_inside(self) -> None:
        """A backward of a closure begins: what is there of weights that were moved since belongs to them no more.

        Batches that a closure adds up share their weights; evaluations of an objective have the optimizer in between.
        """
        for owned in self.training.owned:
            ref, version = self._inside.pop(owned.number, (None, 0))
            p = ref() if ref is not None else None
            if p is None or p._version == version:
                continue
            grads = [q.grad for _, q in owned.items() if q.is_leaf and q.grad is not None and is_real(q)]
            if grads:
                self._ask("inside", owned.number, grads)
            else:
                self._worst = self._worst or 0

    def after_backward(self) -> None:
        self._has_stepped = False
        if self.training.in_step:
            for owned in self.training.owned:
                moved = next((p for _, p in owned.items() if p.is_leaf and p.grad is not None), None)
                if moved is not None:
                    self._inside[owned.number] = weakref.ref(moved), moved._version
        for owned in self.training.owned:
            for _, p in owned.items():
                if p.is_leaf and p.grad is not None:  # to ask another one for its gradient warns
                    self._left[id(p)] = (weakref.ref(p), p.grad._version)

    def before_step(self, optimizer: Any, owned: Any) -> None:
        self.note("step")
        best = self._best.pop(owned.number, None)
        key = (owned.number, self.training.step)
        asked = self._asked.pop(key, 0)
        if best is not None:
            self._worst = max(best, self._worst or 0)
        elif asked == 1:
            self._late.add(key)
        written: list[torch.Tensor] = []
        gone = same = 0
        for _, p in owned.items():
            left, grad = self._left.pop(id(p), None), p.grad if p.is_leaf else None
            if left is None or left[0]() is not p:
                continue
            if grad is None:
                gone += 1
            elif grad._version != left[1]:
                written.append(grad)
            else:
                same += 1
        since = self._noted[-self._noted[::-1].index("backward") :] if "backward" in self._noted else []
        wipes, backwards = self._wipes
        # At every one of them: what a window that was cut short has left is cleared once.
        is_wiped = 0 < wipes == backwards - 1 and not self._is_attack
        self._n_wiped += is_wiped and (same > 0 or "clip" in since)
        self._has_stepped = True
        if same:
            return  # some are taken out on purpose, such as those of a layer that waits
        self._is_discarded = self._is_discarded or (gone > 0 and not written)
        # Clipping writes to gradients too, and zeros stay zeros.
        if written and ("zero_grad" in since or not {"clip", "unscale"} & {*since}):
            self._ask("left", owned.number, written)

    def _ask(self, what: str, number: int, grads: list[torch.Tensor]) -> None:
        """Has the norm of gradients read, now or when it comes back from the device."""
        norms = [norm.float().sum() for _, norm in norm_vectors(grads)]
        if len({norm.device for norm in norms}) == 1:
            self._readback.add([Label(what, str(number), self.training.step)], torch.stack(norms).sum())

    def _heard(self, what: str, subject: str, step: int, norm: float) -> None:
        number = int(subject)
        if what == "left":
            self._is_discarded = self._is_discarded or norm == 0.0
        elif what == "inside":
            self._worst = max(2 if norm != 0.0 else 1, self._worst or 0)
        elif (number, step) in self._asked:
            self._best[number] = min(self._best.get(number, 2), 2 if norm != 0.0 else 1)
        elif (number, step) in self._late:
            self._late.discard((number, step))
            self._worst = max(2 if norm != 0.0 else 1, self._worst or 0)

    # -- accumulation ----------------------------------------------------------------------------------------------

    def end_step(self) -> None:
        training = self.training
        batches, turns, step = self._counts
        if step != training.step or turns != training.turns:
            return  # models that are trained in turn have a backward each
        now = (training.outer_backwards, training.batches - batches)
        if now == self._per_step and (now[0] > 1 or training.has_said("accumulation")):
            training.fact("accumulation", {"backwards": now[0], "batches": now[1]})
        self._per_step = now

    def end_epoch(self) -> None:
        self._readback.flush()
        self._tell()

    def finish(self) -> None:
        self._readback.flush()
        if self._order is None and self._last_order:
            self._order = self._last_order
        self._tell()


def _is_gone(ref: weakref.ref[torch.Tensor], version: int) -> bool:
    """Whether the gradient that was left to a parameter is no longer there, or zero; on a device that is not asked."""
    p = ref()
    if p is None or p.grad is None:
        return p is not None
    return p.grad._version != version and p.grad.is_cpu and is_real(p) and not bool(p.grad.any())


def _without_repeats(noted: list[str]) -> list[str]:
    """The same with everything that is repeated at once standing there once: `abab` is `ab`."""
    found = list(noted)
    for size in range(1, _LONGEST_BLOCK + 1):
        at = 0
        while at + 2 * size <= len(found):
            if found[at : at + size] == found[at + size : at + 2 * size]:
                del found[at : at + size]
            else:
                at += 1
    return found


def _from_its_beginning(noted: list[str]) -> list[str]:
    """What stands before the first of zero_grad, forward and backward belongs behind the step before."""
    starts = ("zero_grad", "forward", "backward")
    at = next((index for index, what in enumerate(noted) if what in starts), 0)
    return noted[at:] + noted[:at]
