"""Sees a script train for some steps, then takes its loop over and does the drills with it.

The loop is the script's own. Where it draws its batches from a `DataLoader`, that gives the first batch again and
again, so that it never ends; each further draw is the end of an iteration. Elsewhere each step of the optimizer is.
Three iterations are tried to see whether the model is then given the same again: at once, where it trains on all of its
data, or with the random generators put back each time, where batches are drawn by hand and inputs are augmented. Where
neither helps, a loop of ours takes its place, on the model, the loss and the optimizer of the script.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import torch

from ...guard import is_strict
from ..calling import own_copy
from ..drill import Drill
from ..measuring import drive, measuring
from ..preserved import Kept, preserved
from ..subject import Subject
from .meeting import SILENT, Meeting, subject_of
from .objects import at_full_rate, freeze_schedulers, loaders, optimizers, profile_of_session
from .randomness import Randomness, print_of
from .telling import BEGAN, FAULT, MET, OVER, Teller

_MOST_RAISED = 20
"""Times that a script may catch what ends it, before it is ended without asking."""

OWN, OURS = "own", "ours"
"""Whose loop the drills are done in."""

_TRIED = 3
"""Iterations that are tried: the second is compared with the first, the third has the random numbers of the second."""


_WITHOUT_DRAW = 50
"""Steps in a row without a batch of a loader from which on the training makes its batches by hand."""


class PreflightOver(SystemExit):
    """The drills are over: the script ends here, by its `finally` blocks and exit functions, with the exit code 0."""

    def __init__(self) -> None:
        super().__init__(0)


class Conductor:
    """Sees a script train, and then decides what its loop does."""

    def __init__(self, plan: dict[str, Any]) -> None:
        """`plan` is what `launching` asks for."""
        self._plan = plan
        self._teller = Teller(Path(plan["folder"]))
        self._session: Any = None
        self._meeting: Meeting | None = None
        self._drills: Generator[None, float, None] | None = None
        self._is_over = False
        self._raised = 0
        self._losses: list[float] = []
        """Of the iteration that is under way."""
        self._scaled: dict[int, float] = {}
        self._steps = 0
        """Rounds of optimizer steps so far."""
        self._round: list[int] = []
        """The optimizers, by their identities, in the order of their first steps."""
        self._steps_before = 0
        """Of them, those before the last draw of a batch."""
        self._began = time.monotonic()
        self._training: dict[int, Any] = {}
        """The first batch of each data set that was drawn from with gradients enabled, by the data set's identity."""
        self._first: int | None = None
        """The data set whose draws begin an iteration."""
        self._untouched: contextlib.ExitStack | None = None
        self._roots: list[torch.nn.Module] = []
        self._loop = OWN
        self._is_measuring = False
        self._subject: Subject | None = None
        self._prints: list[list[Any]] = []
        """What the model was called with, in each iteration that was tried."""
        self._random: Randomness | None = None
        """How the generators stood before the second iteration that was tried, or before each of a drill."""
        self._is_same_each_time = False
        """Whether the generators are put back before each iteration."""
        self._pre = torch.nn.modules.module.register_module_forward_pre_hook(self._before_forward)

    # -- what the hooks tell ---------------------------------------------------------------------------------------

    def begun(self, session: Any) -> None:
        """The script's training is observed from here on."""
        self._began = time.monotonic()
        self._session = session
        session.training._make_probes((Meeting,))
        session.training._choose_calls()
        self._meeting = session.training.probe(Meeting)

    def _before_forward(self, module: torch.nn.Module, args: Any) -> None:
        """The state before the first step is kept, for the drills to begin from."""
        if not torch.is_grad_enabled() or not module.training or torch.compiler.is_compiling():
            return
        if any(part is module for root in self._roots for part in root.modules()):
            return
        if any(torch.nn.parameter.is_lazy(one) for one in module.parameters()):
            return
        if next(module.parameters(), None) is None:
            return
        self._roots.append(module)
        self._untouched = self._untouched or contextlib.ExitStack()
        self._untouched.enter_context(preserved([module], optimizers()))

    def batch(self, iterator: Any) -> Any:
        """The batch that a loader is to give; `NotImplemented` for its own next one."""
        if self._is_measuring or not torch.is_grad_enabled():
            return NotImplemented
        if self._is_over:
            self._end()
        key = id(iterator._dataset)
        if key not in self._training:
            return NotImplemented
        if self._subject is None:
            if key != self._first or not self._has_seen_enough():
                return NotImplemented
            self._start(sys._getframe(2))
            if self._is_over:
                self._end()
        elif key == self._first and (self._steps > self._steps_before or (not self._steps and self._losses)):
            self._iterate()
        self._steps_before = self._steps
        return own_copy(self._training[key])

    def drawn(self, iterator: Any, batch: Any) -> None:
        """A loader gave a batch of its own."""
        if torch.is_grad_enabled() and not self._is_measuring and self._subject is None:
            key = id(iterator._dataset)
            if key not in self._training:
                self._training[key] = own_copy(batch)
            if self._first is None or self._steps > self._steps_before:
                self._first = key
            self._steps_before = self._steps

    def scaled(self, outputs: Any, scaled: Any) -> None:
        """A gradient scaler scaled a loss."""
        if isinstance(outputs, torch.Tensor) and isinstance(scaled, torch.Tensor) and outputs.numel() == 1:
            self._scaled = {id(scaled): float(outputs.detach())}

    def backward(self, tensors: Any) -> None:
        """A loss is about to be sent backward."""
        if self._subject is not None and not self._is_measuring:
            if not isinstance(tensors, torch.Tensor):
                tensors = tensors[0] if len(tensors) == 1 else None
            if isinstance(tensors, torch.Tensor) and tensors.numel() == 1:
                value = self._scaled.get(id(tensors))
                self._losses.append(float(tensors.detach()) if value is None else value)

    def stepped(self, optimizer: Any) -> None:
        """An optimizer has stepped. Of several, the one that was the last to step for the first time ends a round."""
        if self._is_measuring:
            return
        if self._subject is None and id(optimizer) not in self._round:
            self._round.append(id(optimizer))
        if id(optimizer) != self._round[-1]:
            return
        if self._is_over:
            self._end()
        self._steps += 1
        if self._first is not None:
            if self._subject is not None or self._steps - self._steps_before < _WITHOUT_DRAW:
                return  # the next draw is the end of the iteration
            self._first, self._training = None, {}  # what was drawn there was not trained on
        if self._subject is not None:
            self._iterate()
        elif self._has_seen_enough():
            self._start(sys._getframe(2))
            if self._is_over:
                self._end()

    # -- the drills ------------------------------------------------------------------------------------------------

    def _has_seen_enough(self) -> bool:
        meeting = self._meeting
        if meeting is None or meeting.met is None:
            return False
        late = time.monotonic() - self._began > float(self._plan["plain_seconds"])
        # A script whose optimizer never steps trains nothing, which is to be shown: its batches count.
        done = self._steps or len(meeting.losses)
        enough = 2 if late else int(self._plan["steps"])
        # A model that is not heard of any longer may have come to its end: the next one is met soon.
        return done >= enough + (2 * SILENT if meeting.silent else 0)

    def _start(self, frame: Any) -> None:
        """The plain steps are over: back to the state before the first, and on with the same batch."""
        self._advance(lambda: self._begin(frame))

    def _begin(self, frame: Any) -> None:
        meeting = self._meeting
        assert meeting is not None
        assert meeting.met is not None
        self._pre.remove()
        session = self._session
        profile = str(session.settings.profile or profile_of_session(session))
        session.end("FINISHED", "")
        if self._untouched is not None:
            self._untouched.close()
        found = loaders(frame, self._first)
        self._subject = subject_of(meeting.met, at_full_rate(optimizers()), found, profile)
        freeze_schedulers()
        if not self._plan["own_loop"] and meeting.met.loss is not None:
            self._loop = OURS
            self._begin_drills()
            return
        self._pre = torch.nn.modules.module.register_module_forward_pre_hook(self._print)
        self._kept = Kept([self._subject.model], self._subject.optimizers)  # with the hook: what is not in it goes
        self._prints.append([])

    def _print(self, module: torch.nn.Module, args: Any) -> None:
        assert self._subject is not None
        if module is self._subject.model and not self._is_measuring:
            self._prints[-1].append(print_of(args))

    def _try(self) -> bool:
        """An iteration has been tried; returns whether that was the last one. Each begins with the same weights."""
        stood = Randomness()
        self._kept.restore()
        stood.put_back()
        if len(self._prints) == _TRIED - 1:
            assert self._random is not None
            self._random.put_back()
        elif len(self._prints) == 1:
            self._random = Randomness()
        if len(self._prints) < _TRIED:
            self._prints.append([])
            return False
        self._pre.remove()
        first, second, third = self._prints
        if not second or first != second:
            self._is_same_each_time = bool(second) and second == third
            self._loop = OWN if self._is_same_each_time else OURS
        self._random = Randomness()
        return True

    def _begin_drills(self) -> None:
        subject, meeting = self._subject, self._meeting
        assert subject is not None
        assert meeting is not None
        assert meeting.met is not None
        self._teller.tell(
            MET, loop=self._loop, same_each_time=self._is_same_each_time, loss=meeting.met.loss is not None,
            why=meeting.met.why, profile=subject.profile, model=type(subject.model).__name__,
            loaders=sorted(subject.loaders),
        )  # fmt: skip
        self._drills = measuring(
            subject, self._each(), self._teller.records, self._has_failed, float(self._plan["seconds"])
        )
        if self._loop == OURS:
            drive(self._drills, subject)
            self._finish()
        else:
            next(self._drills)

    def _each(self) -> Iterator[Drill]:
        from ...drills import made_drills

        for drill in made_drills(self._plan["drills"], regularised=self._plan["regularised"]):
            self._teller.tell(BEGAN, drill=drill.name)
            yield drill

    def _has_failed(self) -> bool:
        """Whether the rules find a fault in the plain steps or the drills so far, those of earlier starts included."""
        if self._plan["has_failed"]:
            return True
        from ...drills import DRILLS
        from ...rules.engine import Settings
        from ..judged import judge, plain_records
        from .telling import records

        assert self._subject is not None
        plain = plain_records(self._session.rundir.journal, self._subject.profile)
        told = [*plain, *records(Path(self._plan["folder"]))]
        return judge(told, DRILLS, Settings.load(self._plan["settings"])).has_failed

    def _iterate(self) -> None:
        """An iteration of the script's loop is over: the drill under way hears its loss."""
        loss = sum(self._losses) / len(self._losses) if self._losses else float("nan")
        self._losses.clear()
        self._advance(lambda: self._go_on(loss))
        if self._is_over:
            self._end()
        if self._is_same_each_time and self._random is not None:
            self._random.put_back()

    def _go_on(self, loss: float) -> None:
        if self._drills is not None:
            self._drills.send(loss)
        elif self._try():
            self._begin_drills()

    def _advance(self, do: Callable[[], None]) -> None:
        """Does something of ours, between two iterations; what the script's hooks would tell of it is not heard."""
        self._is_measuring = True
        try:
            with torch.enable_grad():
                do()
        except StopIteration:
            self._finish()
        except Exception as error:
            self._fail(error)
        finally:
            self._is_measuring = False

    def _fail(self, error: Exception) -> None:
        """A fault of ours: it is told, and the script ends; what was measured before is kept."""
        if is_strict():
            raise error
        self._teller.tell(FAULT, reason=f"{type(error).__name__}: {error}"[:500])
        self._is_over = True

    def _finish(self) -> None:
        self._teller.tell(OVER)
        self._is_over = True

    def _end(self) -> None:
        self._raised += 1
        if self._raised > _MOST_RAISED:  # a script that catches everything
            sys.stdout.flush()
            os._exit(0)
        raise PreflightOver
