"""Watches the training of one run, through the calls that the hooks pass on."""

from __future__ import annotations

import itertools
import math
import sys
import weakref
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import torch

from ..frames import objects_in
from ..rules.engine.signals import CLASS_COUNT, GRAD_NORM, LOSS, LR, TRAIN_ACCURACY, UPDATE_RATIO, WEIGHT_NORM
from .loss import LossNode, find_loss_node, unscaled
from .parameters import DIGEST_BYTES, SNAPSHOT_BYTES, Owned, digest, is_real, norms
from .sampling import Governor

if TYPE_CHECKING:
    from ..session import Session

_READ_BACK = 32
"""Losses on a device that are read back together: never a synchronisation per step."""

_CLOCK_EVERY = 0.05
"""Seconds between two notes of the wall time."""

TURNS = 3
"""Times that two optimizers must have stepped in turn, each after a loss of its own, for the profile `gan`."""

_MAX_CLASSES = 1000
"""Classes that are counted one by one."""


class Training:
    """Readings of one run's training loop. A fault in one part switches that part off, never the training."""

    def __init__(self, session: Session, observe: str = "standard") -> None:
        self.step = 0
        """Optimizer steps done: the index of the step that is being prepared."""
        self.governor = Governor(observe)
        self._session = session
        self._journal = session.journal
        self._guard = session.guard
        self._owned: dict[int, tuple[weakref.ref[Any], Owned, int]] = {}
        self._stepped: set[int] = set()
        self._expected: set[int] = set()
        self._backwards = self._backwards_at_step = self._turns = 0
        self._passes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._numbers = itertools.count()
        self._rates: dict[str, float] = {}
        self._plain_rates: dict[tuple[int, int], Any] = {}
        self._pending: list[tuple[int, torch.Tensor]] = []
        self._deferred: list[float | torch.Tensor] = []
        self._scaled: list[tuple[weakref.ref[torch.Tensor], torch.Tensor]] = []
        self._before: list[tuple[str, torch.Tensor, torch.Tensor, float]] = []
        self._counts: torch.Tensor | None = None
        self._right = self._judged = 0
        self._loss_known = False
        self._last_clock = 0.0
        self._start_digest: str | None = None
        self._last_digest: tuple[str, int] | None = None

    # -- calls from the hooks --------------------------------------------------------------------------------------

    def after_batch(self, iterator: Any) -> None:
        """A data loader gave a batch."""
        if "loader" in self._guard.off:
            return
        try:
            # A number for each pass: the next epoch's iterator may live at the address of the last one's, and one with
            # persistent workers is used again, and counts from one again.
            number = self._passes.get(iterator)
            if number is None or getattr(iterator, "_num_yielded", 0) == 1:
                number = self._passes[iterator] = next(self._numbers)
                self._session.note_loader(iterator)
            if torch.is_grad_enabled():
                dataset = getattr(iterator, "_dataset", iterator)
                self._session.clock.note_batch(id(dataset), number, weakref.ref(iterator))
        except Exception as error:
            self._guard.fault("loader", error)

    def after_scale(self, outputs: Any, scaled: Any) -> None:
        """A gradient scaler scaled the loss: backward will see `scaled`, the loss is `outputs`."""
        if isinstance(outputs, torch.Tensor) and isinstance(scaled, torch.Tensor):
            self._scaled = [*self._scaled[-3:], (weakref.ref(scaled), outputs.detach())]

    def before_backward(self, tensors: Any) -> None:
        """`backward` is about to run on `tensors`."""
        if "loss" in self._guard.off:
            return
        began = perf_counter()
        try:
            if not isinstance(tensors, torch.Tensor):
                if len(tensors) != 1:
                    return
                tensors = tensors[0]
            if tensors.numel() == 1 and is_real(tensors):
                self._backwards += 1
                self._activity()
                self._observe_loss(tensors)
        except Exception as error:
            self._guard.fault("loss", error)
        finally:
            self.governor.spent += perf_counter() - began

    def owns(self, optimizer: Any) -> bool:
        """True when the optimizer made its first step in this run."""
        entry = self._owned.get(id(optimizer))
        return entry is not None and entry[0]() is optimizer

    def adopt(self, optimizer: Any) -> None:
        """The optimizer makes its first step here: from now on it belongs to this run."""
        if "optimizer" in self._guard.off:
            return
        try:
            self._adopt(optimizer)
        except Exception as error:
            self._guard.fault("optimizer", error)

    def before_step(self, optimizer: Any) -> None:
        """An optimizer of this run is about to step."""
        began = perf_counter()
        key = id(optimizer)
        try:
            self._before = []  # left over when a step raises
            if key in self._stepped:
                self._end_round()
            if self._deferred:
                self._tell_deferred()
            self._note_turn()
            if "gradients" not in self._guard.off:
                self._activity()
                entry = self._owned.get(key)
                if entry is not None and self.governor.is_close(self.step):
                    self._look_closely(optimizer, entry)
        except Exception as error:
            self._before = []
            self._guard.fault("gradients", error)
        finally:
            self._stepped.add(key)
            self.governor.spent += perf_counter() - began

    def after_step(self, optimizer: Any) -> None:
        """An optimizer of this run has stepped."""
        began = perf_counter()
        part = "gradients"
        try:
            if self._deferred:
                self._tell_deferred()
            if self._before:
                self._read_updates()
            part = "schedule"
            if part not in self._guard.off:
                self._read_rates(optimizer)
            now = time()
            if now - self._last_clock > _CLOCK_EVERY:
                self._last_clock = now
                self._journal.clock(now)
        except Exception as error:
            self._before = []
            self._guard.fault(part, error)
        finally:
            if self._stepped >= self._expected:
                self._end_round()
            self.governor.spent += perf_counter() - began

    # -- steps and epochs ------------------------------------------------------------------------------------------

    def _activity(self) -> None:
        """Training goes on here; if that opens a new epoch, the old one is closed first."""
        if self._session.clock.is_boundary(self.done):
            if self._stepped:
                self._end_round()
            self._session.close_epoch()

    @property
    def done(self) -> int:
        """Optimizer steps done, a round that may still go on included."""
        return self.step + (1 if self._stepped else 0)

    def _end_round(self) -> None:
        """Every optimizer that stepped in the last round has stepped, or one steps again: that is one step."""
        self._expected, self._stepped = self._stepped, set()
        self.step += 1
        if self.governor.adjust(self.step):
            self._journal.event("sampling", self.step, {"every": self.governor.every})
        self._session.judging.now_and_then(self.done)

    def _note_turn(self) -> None:
        """An optimizer is about to step: with a loss of its own behind another's step, two models train in turn.

        That is the loop of a GAN, and no other common one: optimizers of parts of one model share a backward.
        """
        if self._stepped and self._backwards > self._backwards_at_step:
            self._turns += 1
            if self._turns == TURNS and self._session.settings.profile is None:
                self._journal.fact("profile", self.step, "gan")
        self._backwards_at_step = self._backwards

    @property
    def label_counts(self) -> dict[str, int]:
        """Labels of each class in the batches that were looked at closely."""
        counts = [] if self._counts is None else self._counts.tolist()
        return {str(label): count for label, count in enumerate(counts) if count}

    def finish(self) -> int:
        """Reads back what is still on a device; returns the number of steps done."""
        if self._stepped:
            self._end_round()
        with self._guard.part("loss"):
            self._tell_deferred()
        self.flush()
        return self.step

    def flush(self) -> None:
        """Reads back losses and counts that are still on a device."""
        with self._guard.part("loss"):
            self._read_back()
        if self._counts is not None and self._judged:
            for label, count in enumerate(self._counts.tolist()):
                if count:
                    self._journal.reading(CLASS_COUNT.name, str(label), self.step, count)
        if self._judged:
            self._journal.reading(TRAIN_ACCURACY.name, "", max(0, self.step - 1), self._right / self._judged)
            self._right = self._judged = 0

    # -- optimizer -------------------------------------------------------------------------------------------------

    def _adopt(self, optimizer: Any) -> None:
        if not self._owned:
            self._session.before_first_step()
        number = len(self._owned)
        frame = sys._getframe(1)  # not this one: a frame that holds itself keeps all frames around it, and their graphs
        beside = [other for ref, _, _ in self._owned.values() if (other := ref()) is not None]
        if not self._owned:
            # Optimizers that stand ready beside this one are taken to share its rounds: a GAN's first step is one.
            beside = [o for o in objects_in(frame, torch.optim.Optimizer).values() if not o.state]
            self._expected = {id(other) for other in beside}
        owned = Owned(optimizer, frame, "" if number == 0 else f"optimizer{number}.", beside)
        self._owned[id(optimizer)] = (weakref.ref(optimizer), owned, number)
        if owned.is_real() and owned.size() <= DIGEST_BYTES and self.step == 0:
            self._start_digest = digest(item for _, held, _ in self._owned.values() for item in held.items())
        parameters: dict[str, Any] = {}
        for _, held, _ in self._owned.values():
            parameters.update(held.describe())
        self._journal.fact("parameters", self.step, parameters)
        self._session.note_optimizer(optimizer, number, frame)
        if number == 0:
            self.governor.begin(self.step)

    def _read_rates(self, optimizer: Any) -> None:
        entry = self._owned.get(id(optimizer))
        if entry is None:
            return
        number = entry[2]
        for index, group in enumerate(optimizer.param_groups):
            rate = group.get("lr")
            if type(rate) is float and self._plain_rates.get((number, index)) == rate:
                continue  # nearly every step
            self._plain_rates[number, index] = rate
            subject = f"{number}/{index}" if number else str(index)
            if isinstance(rate, torch.Tensor) and rate.device.type != "cpu" and not self.governor.is_close(self.step):
                continue
            value = float(rate) if rate is not None else math.nan
            if rate is not None and self._rates.get(subject) != value:
                self._rates[subject] = value
                self._journal.reading(LR.name, subject, self.step, value)

    def _look_closely(self, optimizer: Any, entry: tuple[weakref.ref[Any], Owned, int]) -> None:
        owned = entry[1]
        if not owned.holds(optimizer):
            owned = Owned(optimizer, sys._getframe(), f"optimizer{entry[2]}." if entry[2] else "")
            self._owned[id(optimizer)] = (entry[0], owned, entry[2])
        items = [(name, p) for name, p in owned.items() if p.grad is not None]
        found_inf = getattr(optimizer, "found_inf", None)
        if not items or not is_real(items[0][1]) or (found_inf is not None and float(found_inf) > 0):
            return
        scale = getattr(optimizer, "grad_scale", None)
        unscale = 1.0 / float(scale) if scale is not None else 1.0
        gradients = [norm * unscale for norm in norms([p.grad for _, p in items if p.grad is not None])]
        whole = math.sqrt(sum(norm * norm for norm in gradients)) if all(map(math.isfinite, gradients)) else math.inf
        if any(math.isnan(norm) for norm in gradients):
            whole = math.nan
        suffix = f"optimizer{entry[2]}" if entry[2] else ""
        self._journal.reading(GRAD_NORM.name, suffix, self.step, whole)
        for (name, _), norm in zip(items, gradients, strict=True):
            self._journal.reading(GRAD_NORM.name, name, self.step, norm)
        if not math.isfinite(whole):
            self._session.judging.at_once(self.done)
        self._snapshot(items)

    def _snapshot(self, items: list[tuple[str, torch.Tensor]]) -> None:
        room = SNAPSHOT_BYTES
        chosen = []
        for name, parameter in items:
            room -= parameter.numel() * parameter.element_size()
            if room < 0:
                break
            chosen.append((name, parameter))
        weights = norms([parameter for _, parameter in chosen])
        with torch.no_grad():
            self._before = [
                (name, parameter, parameter.detach().clone(), weight)
                for (name, parameter), weight in zip(chosen, weights, strict=True)
            ]

    def _read_updates(self) -> None:
        before, self._before = self._before, []
        with torch.no_grad():
            now = [parameter.detach() for _, parameter, _, _ in before]
            changes = norms(torch._foreach_sub(now, [old for _, _, old, _ in before]))
        for (name, _, _, weight), change in zip(before, changes, strict=True):
            self._journal.reading(WEIGHT_NORM.name, name, self.step, weight)
            if weight > 0:
                self._journal.reading(UPDATE_RATIO.name, name, self.step, change / weight)

    # -- loss ------------------------------------------------------------------------------------------------------

    def _observe_loss(self, tensor: torch.Tensor) -> None:
        scaled = None
        if self._scaled:
            scaled = next((plain for ref, plain in reversed(self._scaled) if ref() is tensor), None)
        is_scaled = scaled is not None
        loss = tensor if scaled is None else scaled
        if loss.is_cpu:
            value = float(loss.item())
            if math.isfinite(value):
                self._take_loss(value)
            else:
                self._journal.reading(LOSS.name, "", self.step, value)
                self._session.judging.at_once(self.done)
        else:
            self._take_loss(loss.detach().reshape(()).clone())
        if self.governor.is_close(self.step) and "loss-node" not in self._guard.off:
            try:
                node = find_loss_node(unscaled(tensor) if is_scaled else tensor.grad_fn)
                if node is not None:
                    self._observe_node(node)
                elif not self._loss_known:
                    self._journal.fact("loss", self.step, {"function": "unknown"})
                self._loss_known = True
            except Exception as error:
                self._guard.fault("loss-node", error)

    def _take_loss(self, loss: float | torch.Tensor) -> None:
        if self._stepped:
            # Some optimizers of this round have stepped. If one of them is the next to step, this loss is of the next
            # round, else of this one: the next step tells.
            self._deferred.append(loss)
        elif isinstance(loss, float):
            self._journal.reading(LOSS.name, "", self.step, loss)
        else:
            self._pending.append((self.step, loss))
            if len(self._pending) >= _READ_BACK:
                self._read_back()

    def _tell_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for loss in deferred:
            if isinstance(loss, float):
                self._journal.reading(LOSS.name, "", self.step, loss)
            else:
                self._pending.append((self.step, loss))

    def _read_back(self) -> None:
        pending, self._pending = self._pending, []
        if pending:
            values = torch.stack([loss.float() for _, loss in pending]).tolist()
            for (step, _), value in zip(pending, values, strict=True):
                self._journal.reading(LOSS.name, "", step, value)
            if not all(map(math.isfinite, values)):
                self._session.judging.at_once(self.done)

    def _observe_node(self, node: LossNode) -> None:
        if not self._loss_known:
            described = node.describe()
            # One pure loss is a table; what is part of a sum, or scaled, is a list: its value is not the loss's.
            pure = node.terms == 1 and not node.scaled
            self._journal.fact("loss", self.step, described if pure else [described])
            if node.weights is not None and node.weights.numel() <= _MAX_CLASSES:
                self._session.note_class_weights(node.weights, node.function)
        n = node.n_classes
        targets = node.targets
        if n is None or n > _MAX_CLASSES:
            return
        if node.function == "cross_entropy":
            labels = targets.reshape(-1)
            predicted = node.outputs.argmax(1 if node.outputs.dim() > 1 else 0).reshape(-1)
        else:
            labels = (targets.reshape(-1) >= 0.5).long()
            threshold = 0.0 if node.function.endswith("logits") else 0.5
            predicted = (node.outputs.reshape(-1) >= threshold).long()
        inside = (labels >= 0) & (labels < n) & (labels != node.ignored)
        labels, predicted = labels[inside], predicted[inside]
        counts = torch.bincount(labels, minlength=n).cpu()
        self._counts = counts if self._counts is None or len(self._counts) != n else self._counts + counts
        self._right += int((labels == predicted).sum())
        self._judged += int(labels.numel())

    # -- weights ---------------------------------------------------------------------------------------------------

    def digest_weights(self, at_end: bool = False) -> None:
        """Digests the parameters as they are now, if all of them live and the model is small enough for an epoch."""
        held = [owned for _, owned, _ in self._owned.values()]
        steps = self.done
        if not held or (self._last_digest is not None and self._last_digest[1] == steps):
            return
        if all(owned.is_whole() and owned.is_real() for owned in held) and (
            at_end or sum(o.size() for o in held) <= DIGEST_BYTES
        ):
            self._last_digest = (digest(item for owned in held for item in owned.items()), steps)

    def weights_fact(self) -> dict[str, Any] | None:
        """The fact `weights`: digest at the start, latest digest and after how many steps it was taken."""
        if self._last_digest is None:
            return None
        return {"start": self._start_digest, "end": self._last_digest[0], "step": self._last_digest[1]}
