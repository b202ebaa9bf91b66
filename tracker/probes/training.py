"""Follows the training loop of one run: which step it is, whose optimizer steps, and which probes are told of it."""

from __future__ import annotations

import itertools
import math
import sys
import weakref
from collections.abc import Callable, Iterable
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..frames import objects_in
from ..rules.engine.records import Json
from ..rules.engine.signals import GRAD_NORM, LOSS, UPDATE_RATIO, Signal
from .losses import LossFunction
from .parameters import Owned, is_real
from .probe import MOMENTS, Pass, Probe, moments_of
from .readback import Label, Readback
from .registry import PROBES
from .sampling import Governor

if TYPE_CHECKING:
    from ..session import Session
    from .loss import LossNode

P = TypeVar("P", bound=Probe)
_Calls = list[tuple[Probe, Callable[..., None]]]

_CLOCK_EVERY = 0.05
"""Seconds between two notes of the wall time."""

TURNS = 3
"""Times that two optimizers must have stepped in turn, each after a loss of its own, for the profile `gan`."""

_ALARMING = (LOSS.name, GRAD_NORM.name)
"""Signals whose NaNs and infinities are judged at once."""


class Training:
    """The loop of one run, as the hooks tell of it. A fault in a probe switches that probe off, never the training."""

    def __init__(self, session: Session, observe: str = "standard") -> None:
        self.step = 0
        """Optimizer steps done: the index of the step that is being prepared."""
        self.close = True
        """Whether that step is looked at closely."""
        self.loss_node: LossNode | None = None
        """Function of the loss in a `backward` moment, for the probes behind `LossFunction`; then it is let go, as it
        keeps the graph alive."""
        self.governor = Governor(observe)
        self.session = session
        self.journal = session.journal
        self.guard = session.guard
        self.readback = Readback(self._write)
        self._entries: dict[int, tuple[weakref.ref[Any], Owned]] = {}
        self._adopted = itertools.count()
        self._stepped: set[int] = set()
        self._expected: set[int] = set()
        self._backwards = self._backwards_at_step = self._turns = 0
        self._passes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._pass_numbers = itertools.count()
        self._deferred: list[tuple[Signal, str, float | torch.Tensor]] = []
        self._scaled: list[tuple[weakref.ref[torch.Tensor], torch.Tensor]] = []
        self._said: dict[str, Json] = {}
        self._unseen: dict[str, Json] = {}
        self._last_clock = 0.0
        self._probes: dict[type[Probe], Probe] = {}
        self._calls: dict[bool, dict[str, _Calls]] = {}
        self._make_probes()
        self._set_close(True)

    # -- what probes ask of it -------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        """Optimizer steps done, a round that may still go on included."""
        return self.step + (1 if self._stepped else 0)

    @property
    def last_step(self) -> int:
        """The step that was completed last; what is known of an epoch is written at it."""
        return max(0, self.done - 1)

    @property
    def owned(self) -> list[Owned]:
        """The parameters of each optimizer that has stepped, in the order of the first steps."""
        return [owned for _, owned in self._entries.values()]

    @property
    def optimizers(self) -> list[Any]:
        """The optimizers that have stepped and still live, in the order of their first steps."""
        return [optimizer for ref, _ in self._entries.values() if (optimizer := ref()) is not None]

    def name_of(self, parameter: torch.Tensor) -> str | None:
        """The name of a parameter that an optimizer owns."""
        return next((name for owned in self.owned if (name := owned.name_of(parameter)) is not None), None)

    @property
    def label_counts(self) -> dict[str, int]:
        """Labels of each class in the training batches that were looked at closely."""
        function = self.probe(LossFunction)
        return function.label_counts if function is not None else {}

    def probe(self, kind: type[P]) -> P | None:
        """The probe of a class; None once it is switched off."""
        found = self._probes.get(kind)
        return found if isinstance(found, kind) else None

    def measure(self, signal: Signal, subject: str, value: float | torch.Tensor) -> None:
        """Writes a number at this step; one that is on a device is read back later, together with others."""
        if isinstance(value, torch.Tensor):
            self.readback.add([Label(signal.name, subject, self.step)], value)
        else:
            self._write(signal.name, subject, self.step, value)

    def measure_in_round(self, signal: Signal, value: float | torch.Tensor) -> None:
        """Writes a number that belongs to the next step of an optimizer.

        When some optimizers of a round have stepped, that may be this round's or the next one's: the next step tells.
        """
        if self._stepped:
            self._deferred.append((signal, "", value if isinstance(value, float) else value.detach().clone()))
        else:
            self.measure(signal, "", value)

    def fact(self, name: str, value: Json) -> None:
        """Writes a fact, unless it is what was said last."""
        if name not in self._said or self._said[name] != value:
            self._said[name] = value
            self.journal.fact(name, self.step, value)

    def unseen(self, what: str, reason: str) -> None:
        """Says that something cannot be observed in this run, and why; what depends on it is skipped, never clear."""
        if self._unseen.get(what) != reason:
            self._unseen[what] = reason
            self.fact("unseen", dict(self._unseen))

    def _write(self, signal: str, subject: str, step: int, value: float) -> None:
        if not math.isfinite(value):
            if signal == UPDATE_RATIO.name:
                return  # of a weight of zero: there is no ratio
            self.journal.reading(signal, subject, step, value)
            if signal in _ALARMING:
                self.session.judging.at_once(self.done)
        else:
            self.journal.reading(signal, subject, step, value)

    # -- the probes ------------------------------------------------------------------------------------------------

    def _make_probes(self) -> None:
        for kind in PROBES:
            try:
                self._probes[kind] = kind(self)
            except Exception as error:
                self.guard.fault(kind.name, error)
        self._sort_calls()

    def _sort_calls(self) -> None:
        """Lists for each moment whom to call: on steps that are looked at closely, and on the others."""
        for close in (True, False):
            calls: dict[str, _Calls] = {moment: [] for moment in MOMENTS}
            for probe in self._probes.values():
                for moment in moments_of(probe):
                    if close or moment in probe.every_step:
                        calls[moment].append((probe, getattr(probe, moment)))
            self._calls[close] = calls

    def _set_close(self, close: bool) -> None:
        calls = self._calls[close]
        self.close = close
        self._on_batch, self._on_backward = calls["batch"], calls["backward"]
        self._on_before, self._on_after, self._on_end = calls["before_step"], calls["after_step"], calls["end_step"]
        if close:
            self._tell(calls["begin_close"])

    def _tell(self, calls: _Calls, *arguments: Any) -> None:
        for probe, call in calls:
            try:
                call(*arguments)
            except Exception as error:
                self._fault(probe, error)

    def _tell_all(self, moment: str) -> None:
        self._tell([(probe, getattr(probe, moment)) for probe in self._probes.values()])

    def _fault(self, probe: Probe, error: Exception) -> None:
        """Takes a probe out, for good."""
        if self._probes.pop(type(probe), None) is not None:
            self._sort_calls()
            calls = self._calls[self.close]
            self._on_batch, self._on_backward = calls["batch"], calls["backward"]
            self._on_before, self._on_after, self._on_end = calls["before_step"], calls["after_step"], calls["end_step"]
            try:
                probe.release()
            except Exception as second:
                self.guard.fault(f"{probe.name} (release)", second)
        self.guard.fault(probe.name, error)

    def tapped(self, kind: type[Probe], method: str, *arguments: Any) -> None:
        """A function that probe `kind` has tapped is called: tells its `method`."""
        probe = self._probes.get(kind)
        if probe is None:
            return
        began = perf_counter()
        try:
            getattr(probe, method)(*arguments)
        except Exception as error:
            self._fault(probe, error)
        finally:
            self.governor.spent += perf_counter() - began

    # -- calls from the hooks --------------------------------------------------------------------------------------

    def after_batch(self, iterator: Any, batch: Any) -> None:
        """A data loader gave a batch."""
        began = perf_counter()
        try:
            # A number for each pass: the next epoch's iterator may live at the address of the last one's, and one with
            # persistent workers is used again, and counts from one again.
            number = self._passes.get(iterator)
            if number is None or getattr(iterator, "_num_yielded", 0) == 1:
                number = self._passes[iterator] = next(self._pass_numbers)
                self.session.note_loader(iterator)
            if torch.is_grad_enabled():
                dataset = getattr(iterator, "_dataset", iterator)
                self.session.clock.note_batch(id(dataset), number, weakref.ref(iterator))
        except Exception as error:
            self.guard.fault("loader", error)
        finally:
            if self._on_batch:
                self._tell(self._on_batch, iterator, batch)
            self.governor.spent += perf_counter() - began

    def after_root(self, call: Pass) -> None:
        """The whole model was called, on a closely watched step or in evaluation."""
        self._tell(self._calls[True]["root_forward"], call)

    def after_scale(self, outputs: Any, scaled: Any) -> None:
        """A gradient scaler scaled the loss: backward will see `scaled`, the loss is `outputs`."""
        if isinstance(outputs, torch.Tensor) and isinstance(scaled, torch.Tensor):
            self._scaled = [*self._scaled[-3:], (weakref.ref(scaled), outputs.detach())]

    def before_backward(self, tensors: Any) -> None:
        """`backward` is about to run on `tensors`."""
        began = perf_counter()
        try:
            if not isinstance(tensors, torch.Tensor):
                if len(tensors) != 1:
                    return
                tensors = tensors[0]
            if tensors.numel() == 1 and is_real(tensors):
                self._backwards += 1
                self._activity()
                self._tell(self._on_backward, tensors, self._unscaled(tensors) if self._scaled else tensors)
        except Exception as error:
            self.guard.fault("backward", error)
        finally:
            self.loss_node = None
            self.governor.spent += perf_counter() - began

    def owns(self, optimizer: Any) -> bool:
        """True when the optimizer made its first step in this run."""
        entry = self._entries.get(id(optimizer))
        return entry is not None and entry[0]() is optimizer

    def adopt(self, optimizer: Any) -> None:
        """The optimizer makes its first step here: from now on it belongs to this run."""
        try:
            self._adopt(optimizer)
        except Exception as error:
            self.guard.fault("optimizer", error)

    def before_step(self, optimizer: Any) -> None:
        """An optimizer of this run is about to step."""
        began = perf_counter()
        key = id(optimizer)
        try:
            if key in self._stepped:
                self._end_round()
            if self._deferred:
                self._tell_deferred()
            self._note_turn()
            self._activity()
            if self._on_before:
                self._tell(self._on_before, optimizer, self._owned(optimizer))
        except Exception as error:
            self.guard.fault("step", error)
        finally:
            self._stepped.add(key)
            self.governor.spent += perf_counter() - began

    def after_step(self, optimizer: Any) -> None:
        """An optimizer of this run has stepped."""
        began = perf_counter()
        try:
            if self._deferred:
                self._tell_deferred()
            entry = self._entries.get(id(optimizer))
            if entry is not None:
                self._tell(self._on_after, optimizer, entry[1])
            now = time()
            if now - self._last_clock > _CLOCK_EVERY:
                self._last_clock = now
                self.journal.clock(now)
        except Exception as error:
            self.guard.fault("step", error)
        finally:
            if self._stepped >= self._expected:
                self._end_round()
            self.governor.spent += perf_counter() - began

    # -- steps and epochs ------------------------------------------------------------------------------------------

    def _activity(self) -> None:
        """Training goes on here; if that opens a new epoch, the old one is closed first."""
        if self.session.clock.is_boundary(self.done):
            if self._stepped:
                self._end_round()
            self.session.close_epoch()

    def _end_round(self) -> None:
        """Every optimizer that stepped in the last round has stepped, or one steps again: that is one step."""
        if self._on_end:
            self._tell(self._on_end)
        if self.close:
            self._tell(self._calls[True]["end_close"])
        self._expected, self._stepped = self._stepped, set()
        self.step += 1
        if self.governor.adjust(self.step):
            self.journal.event("sampling", self.step, {"every": self.governor.every})
        close = self.governor.is_close(self.step)
        if close or self.close:
            self._set_close(close)
        self.session.judging.now_and_then(self.done)

    def _note_turn(self) -> None:
        """An optimizer is about to step: with a loss of its own behind another's step, two models train in turn.

        That is the loop of a GAN, and no other common one: optimizers of parts of one model share a backward.
        """
        if self._stepped and self._backwards > self._backwards_at_step:
            self._turns += 1
            if self._turns == TURNS and self.session.settings.profile is None:
                self.fact("profile", "gan")
        self._backwards_at_step = self._backwards

    def finish(self) -> int:
        """Ends a round that is under way, and reads back what is still on a device; returns the steps done."""
        if self._stepped:
            self._end_round()
        self._tell_deferred()
        self.readback.flush()
        return self.step

    def end_epoch(self) -> None:
        """An epoch is over: probes write what they know of it."""
        self._tell_all("end_epoch")
        self.readback.flush()

    def conclude(self) -> None:
        """The run is over: probes write what they know of it, and give back what they put into torch."""
        if self.close:
            self._tell(self._calls[True]["end_close"])
        self._tell_all("finish")
        self.readback.flush()
        self._tell_all("release")

    # -- losses ----------------------------------------------------------------------------------------------------

    def _unscaled(self, tensor: torch.Tensor) -> torch.Tensor:
        """The loss that a gradient scaler multiplied to get `tensor`; the tensor itself when none did."""
        return next((plain for ref, plain in reversed(self._scaled) if ref() is tensor), tensor)

    def _tell_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for signal, subject, value in deferred:
            self.measure(signal, subject, value)

    # -- optimizers ------------------------------------------------------------------------------------------------

    def _owned(self, optimizer: Any) -> Owned:
        """The parameters of an optimizer, named again when it got others."""
        ref, owned = self._entries[id(optimizer)]
        if self.close and not owned.holds(optimizer):
            owned = Owned(optimizer, sys._getframe(), owned.number)
            self._entries[id(optimizer)] = (ref, owned)
        return owned

    def _adopt(self, optimizer: Any) -> None:
        if not self._entries:
            self.session.before_first_step()
        number = next(self._adopted)
        frame = sys._getframe(1)  # not this one: a frame that holds itself keeps all frames around it, and their graphs
        beside: Iterable[Any] = self.optimizers
        if not self._entries:
            # Optimizers that stand ready beside this one are taken to share its rounds: a GAN's first step is one.
            beside = [o for o in objects_in(frame, torch.optim.Optimizer).values() if not o.state]
            self._expected = {id(other) for other in beside}
        self._entries[id(optimizer)] = (weakref.ref(optimizer), Owned(optimizer, frame, number, list(beside)))
        self._tell([(probe, probe.adopted) for probe in self._probes.values()])
        parameters: dict[str, Json] = {}
        for owned in self.owned:
            parameters.update(owned.describe())
        self.fact("parameters", parameters)
        self.session.note_optimizer(optimizer, number, frame)
        if number == 0:
            self.governor.begin(self.step)
