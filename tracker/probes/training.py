"""Follows the training loop of one run: which step it is, whose optimizer steps, and which probes are told of it."""

from __future__ import annotations

import math
import sys
from time import perf_counter, time
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from .. import reproducing
from ..rules.engine.errors import RuleError
from ..rules.engine.records import Json
from ..rules.engine.signals import BACKWARDS, LR
from .compiled_steps import CompiledSteps
from .data_passes import DataPasses
from .evaluation import Evaluation
from .fingerprints import Fingerprints
from .followed import Followed
from .losses import LossFunction
from .manual import ByHand
from .measuring import Measuring
from .optimizers import Entry, Optimizers, steps_running, waiting
from .parameters import Owned, is_real
from .precision import Precision
from .probe import Pass, Probe
from .registry import PROBES, plugin_probes
from .sampling import Governor
from .scaling import ScaledLosses, is_skipped
from .system import System
from .telling import dispatch_modes, function_modes

if TYPE_CHECKING:
    from ..session import Session
    from .loss import LossNode
    from .trainings import Trainings

_CLOCK_EVERY = 0.05
"""Seconds between two notes of the wall time."""

STEPS_BEFORE = 20
"""Steps that are looked at closely ahead of the one a re-run is to end behind."""

TURNS = 3
"""Times that two optimizers must have stepped in turn, each after a loss of its own, for the profile `gan`."""

_JUDGE_MASK = 7
"""The rules for steps may be asked after every eighth step: asking whether it is time costs more than most steps do."""

_MOST_DESCRIBED = 50
"""Optimizers whose settings are told; a script that makes ever new ones is told about in time."""

_grad_enabled = torch.is_grad_enabled
_Tensor = torch.Tensor


class Training(Measuring):
    """The loop of one run, as the hooks tell of it. A fault in a probe switches that probe off, never the training."""

    def __init__(self, session: Session, observe: str = "standard") -> None:
        super().__init__(session)
        self.loss_node: LossNode | None = None
        """Function of the loss in a `backward` moment, for the probes behind `LossFunction`; then it is let go, as it
        keeps the graph alive."""
        self.governor = Governor(observe)
        again = reproducing.plan() if session.spec.get("reproduce_of") else {}
        self._until: float = math.inf if again.get("until") is None else int(again["until"])
        """Step behind which a re-run ends."""
        if again.get("debug"):
            self.governor.look_from(0 if self._until == math.inf else max(0, int(self._until) - STEPS_BEFORE))
        self.followed = Followed(self.unseen)
        self._compiled_steps = CompiledSteps()
        self.backwards = 0
        """Backward calls so far."""
        self.batches = 0
        """Batches drawn so far with gradients enabled."""
        self.outer_backwards = 0
        """Those of the step that were made outside of an optimizer's closure."""
        self.optimizer_steps = 0
        """Steps of all optimizers so far."""
        self.turns = 0
        """Times that an optimizer stepped after another in the same step, with a loss of its own in between."""
        self.stopped_by: str | None = None
        """Why an unmodified script is to end at the next step; None while it is not."""
        self.has_scaled_gradients = False
        """Whether a scaler scaled a loss, and the gradients were not unscaled since."""
        self.awaited: Trainings | None = None
        """Who waits for the first loss of a new optimizer, to tell whether another model is trained."""
        self._clock = session.clock
        self._entries = Optimizers()
        self._inside: Entry | None = None
        self._expected: set[int] = set()
        self._began = False
        self._described = 0
        self._trainings = 0
        self._by_hand: ByHand | None = ByHand(self)
        """Looks out for a loop without an optimizer; None once an optimizer has stepped."""
        self._backwards_at_step = 0
        self._backwards_at_round = self._per_step = 0
        self._passes = DataPasses(session)
        self._accepted: object = None
        """The pass that training has taken its last batch from, as the clock knows it."""
        self._next_close = 0
        self._scaled = ScaledLosses()
        self._last_clock = 0.0
        self._began_at = 0.0
        """When the call of a hook began that is under way."""
        self._spent = 0.0
        """Seconds spent in the hooks of this step that the governor does not know of yet."""
        more, problems = plugin_probes()
        for where, problem in problems.items():
            self.guard.fault(where, RuleError(f"{where} {problem}"))
        self._make_probes((*PROBES, *more))
        self._set_close(True)

    # -- what probes ask of it -------------------------------------------------------------------------------------

    @property
    def owned(self) -> list[Owned]:
        """The parameters of each optimizer that has stepped, in the order of the first steps."""
        return [entry.owned for entry in self._entries]

    @property
    def optimizers(self) -> list[Any]:
        """The optimizers that have stepped and still live, in the order of their first steps."""
        return [optimizer for entry in self._entries if (optimizer := entry.ref()) is not None]

    @property
    def rate(self) -> float | None:
        """The learning rate of the first parameter group; of one that is a tensor, as it was written down last."""
        rate = next((optimizer.param_groups[0].get("lr") for optimizer in self.optimizers), None)
        return rate if isinstance(rate, float) else self.journal.last(LR.name, "0")

    def steps_of(self, optimizer: Any) -> int:
        """Steps that an optimizer of this run has made; 0 for one that is not."""
        entry = self._entries.entry_of(optimizer)
        return entry.steps if entry is not None else 0

    def number_of(self, optimizer: Any) -> int | None:
        """The number of an optimizer in this run; None before its first step."""
        entry = self._entries.entry_of(optimizer) if optimizer is not None else None
        return entry.number if entry is not None else None

    @property
    def in_step(self) -> bool:
        """True inside the step of an optimizer: a backward there belongs to its closure."""
        return self._inside is not None

    def name_of(self, parameter: torch.Tensor) -> str | None:
        """The name of a parameter that an optimizer owns."""
        return next((name for owned in self.owned if (name := owned.name_of(parameter)) is not None), None)

    @property
    def label_counts(self) -> dict[str, int]:
        """Labels of each class in the training batches that were looked at closely."""
        function = self.probe(LossFunction)
        return function.label_counts if function is not None else {}

    def _choose_calls(self) -> None:
        super()._choose_calls()
        if self._by_hand is not None and self._by_hand.updates is not None:
            self.wants_after_backward = True

    def tapped(self, kind: type[Probe], method: str, *arguments: Any) -> None:
        """A function that probe `kind` has tapped is called: tells its `method`."""
        probe = self._probes.get(kind)
        if probe is None:
            return
        began = perf_counter()
        try:
            self._tell([(probe, getattr(probe, method))], *arguments)
        finally:
            self.governor.spent += perf_counter() - began

    # -- calls from the hooks --------------------------------------------------------------------------------------

    def after_batch(self, iterator: Any, batch: Any) -> None:
        """A data loader gave a batch."""
        began = perf_counter()
        try:
            if self._passes.latest() is not iterator or iterator._num_yielded == 1:
                self._passes.note(iterator)
            if _grad_enabled():
                self.batches += 1
                self._clock.drawn = self._passes.drawn
        except Exception as error:
            self.guard.fault("loader", error)
        finally:
            if self._on_batch:
                self._tell(self._on_batch, iterator, batch)
            if iterator._num_yielded == 1:
                evaluation = self.probe(Evaluation)
                if evaluation is not None:
                    self._tell([(evaluation, evaluation.begin_pass)], iterator)
            self.governor.spent += perf_counter() - began

    def after_pass(self, iterator: Any) -> None:
        """A data loader has no more batches."""
        began = perf_counter()
        try:
            evaluation = self.probe(Evaluation)
            if evaluation is not None:
                self._tell([(evaluation, evaluation.end_pass)], iterator)
            fingerprints = self.probe(Fingerprints)
            if fingerprints is not None:
                self._tell([(fingerprints, fingerprints.end_pass)], iterator)
        except Exception as error:
            self.guard.fault("loader", error)
        finally:
            self.governor.spent += perf_counter() - began

    def after_root(self, call: Pass) -> None:
        """The whole model was called, on a closely watched step or in evaluation."""
        self._tell(self._calls[True]["root_forward"], call)

    def after_scale(self, scaler: Any, outputs: Any, scaled: Any) -> None:
        """A gradient scaler scaled the loss: backward will see `scaled`, the loss is `outputs`."""
        if scaled is not outputs and not self._scaled.pairs:
            precision = self.probe(Precision)
            if precision is not None:
                self._tell([(precision, precision.first_scaled)], scaler)
        if isinstance(outputs, torch.Tensor) and isinstance(scaled, torch.Tensor) and scaled is not outputs:
            self.has_scaled_gradients = True
            self._scaled.note(scaled, outputs)

    def before_backward(self, tensors: Any) -> None:
        """`backward` is about to run on `tensors`."""
        self._began_at = began = perf_counter()
        try:
            if not isinstance(tensors, _Tensor):
                if len(tensors) != 1:
                    return
                tensors = tensors[0]
            # A plain tensor on the CPU has values: that is asked for in less time than whether another one has.
            if tensors.numel() != 1 or not ((type(tensors) is _Tensor and tensors.is_cpu) or is_real(tensors)):
                return
            if self._by_hand is not None and not dispatch_modes():
                with torch._C.DisableTorchFunction():
                    self._by_hand.before_backward(tensors)
            self.backwards += 1
            if self._inside is None:
                self.outer_backwards += 1
            clock = self._clock
            drawn = clock.drawn
            if drawn is None:
                if not clock.has_loaders:
                    self._activity()
            elif drawn is self._accepted:
                clock.drawn = None  # a further batch of the pass that training is at already
            else:
                self._activity()
                self._accepted = drawn
            loss = self._scaled.unscaled(tensors) if self._scaled.pairs else tensors
            if self.awaited is not None:
                self._tell([(self.awaited, self.awaited.look)], tensors)
            if self.close or function_modes():
                self._tell(self._on_backward, tensors, loss)
            else:
                for probe, call in self._on_backward:  # as `_tell_plainly` does, without the call
                    try:
                        call(tensors, loss)
                    except Exception as error:
                        self._fault(probe, error)
        except Exception as error:
            self.guard.fault("backward", error)
        finally:
            self.loss_node = None
            self._spent += perf_counter() - began

    def after_backward(self) -> None:
        """A backward has left its gradients. Told when `wants_after_backward`."""
        self._began_at = began = perf_counter()
        try:
            self._tell(self._on_left)
            if self._by_hand is not None and self.close and not dispatch_modes():
                entry = self._entries.entry_of(self._by_hand.updates)
                if entry is not None:
                    self._tell(self._on_before, self._by_hand.updates, entry.owned)
        except Exception as error:
            self.guard.fault("backward", error)
        finally:
            self.governor.spent += perf_counter() - began

    def owns(self, optimizer: Any) -> bool:
        """True when the optimizer made its first step in this run."""
        return self._entries.entry_of(optimizer) is not None

    def before_step(self, optimizer: Any) -> None:
        """An optimizer is about to step, which is this run's, or belongs to nobody yet."""
        self._began_at = began = perf_counter()
        try:
            entry = self._entries.find(id(optimizer))
            if self._inside is not None and self._inside is not entry and steps_running() > 1:
                return  # the step of one that is wrapped in another: it is the outer one's
            if self._scaled.pairs and is_skipped(optimizer):
                self._inside = None
                precision = self.probe(Precision)
                if precision is not None:
                    self._tell([(precision, precision.skipped)], optimizer)
                return
            if entry is None or entry.ref() is not optimizer:
                entry = self._try_to_adopt(optimizer)
                if entry is None:
                    return
            self._inside = entry
            if entry.key in self._stepped:
                self._end_round()
            if self._deferred:
                self._tell_deferred()
            if self._stepped:
                self._note_turn()
            clock = self._clock
            # Behind a backward of this step there is nothing new, unless a batch was drawn or a metric logged since.
            if clock.drawn is not None or (
                not clock.has_loaders and (self.backwards == self._backwards_at_step or clock.logged_at is not None)
            ):
                self._activity()
            self._backwards_at_step = self.backwards
            self._stepped.add(entry.key)
            if self._on_before:
                self._tell(self._on_before, optimizer, self._owned(entry, optimizer))
        except Exception as error:
            self.guard.fault("step", error)
        finally:
            self._spent += perf_counter() - began

    def after_step(self, optimizer: Any) -> None:
        """An optimizer of this run has stepped."""
        entry = self._inside
        if entry is None or entry.key != id(optimizer):
            return
        self._inside = None
        self._began_at = began = perf_counter()
        try:
            if self._deferred:
                self._tell_deferred()
            entry.steps += 1
            self.optimizer_steps += 1
            if self.close:
                self._tell(self._on_after, optimizer, entry.owned)
            else:
                for probe, call in self._on_after:
                    try:
                        call(optimizer, entry.owned)
                    except Exception as error:
                        self._fault(probe, error)
            if self._stepped >= self._expected:
                self._end_round()
            if began - self._last_clock > _CLOCK_EVERY:
                self._last_clock = began
                self.journal.clock(time())
                self.session.show()
        except Exception as error:
            self.guard.fault("step", error)
        finally:
            self.governor.spent += self._spent + perf_counter() - began
            self._spent = 0.0

    # -- steps and epochs ------------------------------------------------------------------------------------------

    def _activity(self) -> None:
        """Training goes on here; if that opens a new epoch, the old one is closed first."""
        if self._clock.is_boundary(self.step + 1 if self._stepped else self.step):
            if self._stepped:
                self._end_round()
            self.session.close_epoch()

    def _end_round(self) -> None:
        """Every optimizer that stepped in the last round has stepped, or one steps again: that is one step."""
        backwards = self.backwards - self._backwards_at_round
        self._backwards_at_round = self.backwards
        if backwards != self._per_step:
            self._per_step = backwards
            self.journal.reading(BACKWARDS.name, "", self.step, backwards)
        if self._on_end:
            self._tell(self._on_end)
        if self.close:
            self._tell_unheard(self._calls[True]["end_close"])
        self.outer_backwards = 0
        if self._stepped == self._expected:
            self._stepped.clear()
        else:
            self._expected, self._stepped = self._stepped, set()
        self.step = step = self.step + 1
        if step > self._until:
            self.stopped_by = f"step {self._until} was the last of this re-run"
        if self.close or step >= self._next_close:
            self._plan(step)
        if step & _JUDGE_MASK == 0:
            self.session.judging.now_and_then(self.done)

    def _plan(self, step: int) -> None:
        """Decides whether step `step` is looked at closely, and which one is the next that may be.

        Event `sampling`: ``{"every": n}``, at the first step for which it holds: from there on the steps whose number
        n divides are looked at closely, beside the first ones of a training. Before the first event n is 10.
        """
        governor = self.governor
        governor.is_over(governor.spent + self._spent + perf_counter() - self._began_at, self.close)
        if governor.adjust(step):
            self.journal.event("sampling", step, {"every": governor.every})
        close = governor.is_close(step)
        self._next_close = governor.next_close(step)
        if close or self.close:
            self._set_close(close)

    def _note_turn(self) -> None:
        """An optimizer is about to step: with a loss of its own behind another's step, two models train in turn.

        That is the loop of a GAN, and no other common one: optimizers of parts of one model share a backward.
        """
        if self.backwards > self._backwards_at_step:
            self.turns += 1
            if self.turns == TURNS and self.session.settings.profile is None:
                self.fact("profile", "gan")

    def begin_another(self) -> None:
        """Another model is trained from the backward on that is under way: what is over is judged for itself."""
        self.finish()
        self._trainings += 1
        self.session.begin_another_training(self._trainings)
        self.governor.look_again(self.step)
        self._per_step = 0
        self._tell_all("begin_another")
        self._plan(self.step)

    def note_interruption(self) -> None:
        """The run is ended from outside, or by an exception: what nothing else is to be written before."""
        system = self.probe(System)
        if system is not None:
            self._tell([(system, system.interrupted)])

    def finish(self) -> int:
        """Ends a round that is under way, and reads back what is still on a device; returns the steps done."""
        self._began_at = perf_counter()
        if self._by_hand is not None:
            self._by_hand.finish()
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
        unseen = self._compiled_steps.told_by(self._entries)
        if unseen is not None:
            self.unseen("steps", unseen)
        if self.close:
            self._tell_unheard(self._calls[True]["end_close"])
        self._tell_all("finish")
        self.readback.flush()
        self._tell_all("release")

    # -- optimizers ------------------------------------------------------------------------------------------------

    def _owned(self, entry: Entry, optimizer: Any) -> Owned:
        """The parameters of an optimizer, named again when it got others."""
        if self.close and not entry.owned.holds(optimizer):
            entry.owned = Owned(optimizer, sys._getframe(), entry.number)
        return entry.owned

    def _try_to_adopt(self, optimizer: Any) -> Entry | None:
        """Takes in an optimizer; None once that has failed."""
        if "optimizer" in self.guard.off:
            return None
        try:
            return self.adopt(optimizer, sys._getframe(1))
        except Exception as error:
            self.guard.fault("optimizer", error)
            return None

    def adopt(self, optimizer: Any, frame: FrameType) -> Entry:
        """The optimizer makes its first step, called from `frame`: from now on it belongs to this run.

        `frame` must not be the caller's own: a frame that holds itself keeps all frames around it, and their graphs.
        """
        is_first = not self._began
        if is_first:
            self._began = True
            self.session.before_first_step()
        by_hand = self._by_hand.updates if self._by_hand is not None else None
        if optimizer is not by_hand:
            if by_hand is not None:
                self._forget(by_hand)
            self._by_hand = None
        self._choose_calls()
        if is_first and optimizer is not by_hand:
            # Optimizers that stand ready beside this one are taken to share its rounds: a GAN's first step is one.
            self._expected = {id(other) for other in waiting(frame, optimizer)}
        entry, before = self._entries.add(optimizer, frame, is_first)
        if before is not None and before.key in self._expected:
            self._expected = {*(self._expected - {before.key}), entry.key}
        if before is not None and before.key != entry.key:
            self._stepped.discard(before.key)
        if before is None or before.owned is not entry.owned:
            self._tell([(probe, probe.adopted) for probe in self._probes.values()])
            parameters: dict[str, Json] = {}
            for owned in self.owned:
                parameters.update(owned.describe())
            self.fact("parameters", parameters)
        if (before is None or before.described != entry.described) and self._described < _MOST_DESCRIBED:
            self._described += 1
            self.session.note_optimizer(optimizer, entry.number, frame)
        if is_first:
            self.governor.begin(self.step)
        return entry

    # -- loops without an optimizer --------------------------------------------------------------------------------

    def step_by_hand(self, updates: Any) -> Entry | None:
        """What stands in for an optimizer has stepped: no hook tells of it. None when it is not known."""
        entry = self._entries.entry_of(updates)
        if entry is not None:
            entry.steps += 1
            self.optimizer_steps += 1
            self._tell(self._on_after, updates, entry.owned)
            self._stepped.add(entry.key)
            self._end_round()
            now = perf_counter()
            if now - self._last_clock > _CLOCK_EVERY:
                self._last_clock = now
                self.session.show()
        return entry

    def _forget(self, updates: Any) -> None:
        """An optimizer steps after all: it is the first."""
        entry = self._entries.entry_of(updates)
        if entry is not None:
            self._entries.drop(entry)
            self._expected.discard(entry.key)
