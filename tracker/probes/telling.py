"""Tells the probes of one run what happens, each apart from the others: a fault in one switches that one off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..rules.engine.records import Json
from .probe import MOMENTS, Probe, moments_of

if TYPE_CHECKING:
    from ..session import Session

P = TypeVar("P", bound=Probe)
Calls = list[tuple[Probe, Callable[..., None]]]

dispatch_modes = torch._C._len_torch_dispatch_stack
function_modes = torch._C._len_torch_function_stack


class Telling:
    """The probes of a run, whom to tell of each moment of a step, and what was said for good: facts."""

    def __init__(self, session: Session) -> None:
        self.step = 0
        """Optimizer steps done: the index of the step that is being prepared."""
        self.close = True
        """Whether that step is looked at closely."""
        self.session = session
        self.journal = session.journal
        self.guard = session.guard
        self.wants_after_backward = True
        """Whether anybody asks what a backward has left behind."""
        self._said: dict[str, Json] = {}
        self._unseen: dict[str, Json] = {}
        self._probes: dict[type[Probe], Probe] = {}
        self._calls: dict[bool, dict[str, Calls]] = {}

    # -- what was said ---------------------------------------------------------------------------------------------

    def fact(self, name: str, value: Json) -> None:
        """Writes a fact, unless it is what was said last."""
        if name not in self._said or self._said[name] != value:
            self._said[name] = value
            self.journal.fact(name, self.step, value)

    def has_said(self, name: str) -> bool:
        """Whether a fact of this name was written."""
        return name in self._said

    def unseen(self, what: str, reason: str) -> None:
        """Says that something cannot be observed in this run, and why; what depends on it is skipped, never clear."""
        if self._unseen.get(what) != reason:
            self._unseen[what] = reason
            self.fact("unseen", dict(self._unseen))

    # -- the probes ------------------------------------------------------------------------------------------------

    def probe(self, kind: type[P]) -> P | None:
        """The probe of a class; None once it is switched off."""
        found = self._probes.get(kind)
        return found if isinstance(found, kind) else None

    def _make_probes(self, kinds: Sequence[type[Probe]]) -> None:
        for kind in kinds:
            try:
                self._probes[kind] = kind(self)  # type: ignore[arg-type]
            except Exception as error:
                self.guard.fault(kind.name, error)
        self._sort_calls()

    def _sort_calls(self) -> None:
        """Lists for each moment whom to call: on steps that are looked at closely, and on the others."""
        for close in (True, False):
            calls: dict[str, Calls] = {moment: [] for moment in MOMENTS}
            for probe in self._probes.values():
                for moment in moments_of(probe):
                    if close or moment in probe.every_step:
                        calls[moment].append((probe, getattr(probe, moment)))
            self._calls[close] = calls

    def _set_close(self, close: bool) -> None:
        self.close = close
        self._choose_calls()
        if close:
            self._tell(self._calls[True]["begin_close"])

    def _choose_calls(self) -> None:
        calls = self._calls[self.close]
        self._on_batch, self._on_backward = calls["batch"], calls["backward"]
        self._on_before, self._on_after, self._on_end = calls["before_step"], calls["after_step"], calls["end_step"]
        self._on_left = calls["after_backward"]
        self.wants_after_backward = bool(self._on_left)

    # -- telling ---------------------------------------------------------------------------------------------------

    def _tell(self, calls: Calls, *arguments: Any) -> None:
        if dispatch_modes() or function_modes():
            self._tell_beside_modes(calls, *arguments)
        else:
            self._tell_plainly(calls, *arguments)

    def _tell_beside_modes(self, calls: Calls, *arguments: Any) -> None:
        """The user has every operation pass by a mode of theirs, a counter say, or torch has, for a default device.

        Ours must not: function modes are switched off meanwhile. Modes that see what torch dispatches stay in charge,
        and only probes that no mode hears are told.
        """
        if dispatch_modes():
            reason = "A TorchDispatchMode was active, a counter of operations say: it would hear most measurements."
            self.unseen("operations", reason)
            calls = [(probe, call) for probe, call in calls if probe.is_unheard]
        with torch._C.DisableTorchFunction():
            self._tell_plainly(calls, *arguments)

    def _tell_plainly(self, calls: Calls, *arguments: Any) -> None:
        for probe, call in calls:
            try:
                call(*arguments)
            except Exception as error:
                self._fault(probe, error)

    def _tell_all(self, moment: str) -> None:
        self._tell_unheard([(probe, getattr(probe, moment)) for probe in self._probes.values()])

    def _tell_unheard(self, calls: Calls, *arguments: Any) -> None:
        """Tells, whatever modes are active; those for functions do not hear it."""
        with torch._C.DisableTorchFunction():
            self._tell_plainly(calls, *arguments)

    def _fault(self, probe: Probe, error: Exception) -> None:
        """Takes a probe out, for good."""
        if self._probes.pop(type(probe), None) is not None:
            self._sort_calls()
            self._choose_calls()
            try:
                probe.release()
            except Exception as second:
                self.guard.fault(f"{probe.name} (release)", second)
        self.guard.fault(probe.name, error)
