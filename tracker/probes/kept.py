"""Notes when the weights in training are copied out and put back: which state of the model the user keeps."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from .probe import Probe, Tap

MOST = 50
"""Steps that are kept of each kind: the latest."""


class Kept(Probe):
    """Fact `kept`, told at the ends of epochs and of the run, once there is something to tell::

        {"saved": last completed steps at which `state_dict()` of a module in training was taken, at most `MOST`,
         "loaded": those at which `load_state_dict` put weights into one}

    Copies made otherwise (`copy.deepcopy(model)`, `torch.save(model)`) are not seen.
    """

    name = "kept"
    taps = (
        Tap("torch.nn.modules.module:Module", "state_dict", after="saved"),
        Tap("torch.nn.modules.module:Module", "load_state_dict", after="loaded"),
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._saved: list[int] = []
        self._loaded: list[int] = []
        self._told: tuple[int, int] = (0, 0)
        self._n = [0, 0]
        self._ours: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
        """Whether a module holds parameters in training: a snapshot may be taken at every step."""

    def saved(self, args: Any, kwargs: Any, result: Any) -> None:
        """The state of a module was taken; of the parts that a call for the whole goes through nothing is noted."""
        is_part = len(args) > 1 or kwargs.get("destination") is not None
        if not is_part and self._is_ours(args):
            self._note(self._saved, 0)

    def loaded(self, args: Any, kwargs: Any, result: Any) -> None:
        """Weights were put into a module."""
        if self._is_ours(args):
            self._note(self._loaded, 1)

    def _is_ours(self, args: Any) -> bool:
        module = args[0] if args else None
        if not self.training.done or not isinstance(module, torch.nn.Module):
            return False
        known = self._ours.get(module)
        if known is None:
            known = any(self.training.name_of(parameter) is not None for parameter in module.parameters())
            if known:
                self._ours[module] = known
        return known

    def _note(self, steps: list[int], kind: int) -> None:
        step = self.training.last_step
        if not steps or steps[-1] != step:
            steps.append(step)
            del steps[:-MOST]
            self._n[kind] += 1

    def begin_another(self) -> None:
        self._tell()
        self._saved, self._loaded = [], []
        self._ours.clear()

    def end_epoch(self) -> None:
        self._tell()

    def finish(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if (self._n[0], self._n[1]) != self._told:
            self._told = (self._n[0], self._n[1])
            self.training.fact("kept", {"saved": list(self._saved), "loaded": list(self._loaded)})
