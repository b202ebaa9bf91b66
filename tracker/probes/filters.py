"""Keeps the filters of the first convolution over images, as pictures: for the eye, not for a rule."""

from __future__ import annotations

import base64
import math
import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..rules.engine.records import Json
from .models import Model, parameters_of
from .nested import Aside, is_measurable, may_compute
from .parameters import PLAIN, is_real
from .passes import Called, Watcher
from .sent import Sent

if TYPE_CHECKING:
    from .training import Training

MOST_FILTERS = 32
MOST_PIXELS = 1 << 14
"""Filters that are kept, spread evenly over all, and numbers of them together: a fact has 22 kB at most."""

MOST_FACTS = 64
"""Times that they are kept in a run."""

PASSES = 8
"""Training passes in which a first convolution is looked for."""

LEAST_AREA = 4
"""Pixels of a filter below which there is nothing to be seen on it."""


HOLD_EVERY = 1.1
"""Factor by which the step has to grow from one copy of the filters to the next, within an epoch."""

_Held = tuple[int, dict[str, Json], Sent]


class Filters(Watcher):
    """Fact `filters`, at the first step that is looked at closely, behind the epochs 1, 2, 4, 8 ..., and at the end::

        {"parameter": "conv1.weight", "layer": "conv1", "count": of all filters, "height", "width",
         "channels": 1 or 3; of filters with other channels it is their mean, "kept": of those below,
         "pixels": base64 of uint8 numbers, filter by filter, then row by row, the channels of a pixel side by side,
         "low", "high": what 0 and 255 stand for}

    It is that of the first two-dimensional convolution that a model calls, on what no trained layer has changed before.
    The first one is as it was ahead of the step. There is none with `observe = "light"`, or without histograms.
    """

    name = "filters"

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        settings = training.session.settings
        self._is_on = settings.report.histograms and settings.observe != "light"
        if not self._is_on:
            self.release()
        self._facts = 0
        self._forget()

    def _forget(self) -> None:
        self._passes = 0
        self._is_searching = False
        """Whether a pass is under way that has not come to a convolution yet."""
        self._weight: weakref.ref[torch.Tensor] | None = None
        self._layer: tuple[Model, str] | None = None
        self._held_at = self._held_behind = -1
        """Step at which they were copied last, and how many steps had been made."""
        self._held: _Held | None = None
        """The last copy, until it is told."""
        self._epochs = 0
        self._sent: list[_Held] = []

    # -- moments ---------------------------------------------------------------------------------------------------

    def begin_another(self) -> None:
        self._forget()

    def watch(self, model: Model, has_grad: bool) -> Called | None:
        if self._weight is not None or not has_grad or not self.training.close or self._passes >= PASSES:
            return None
        self._passes += 1
        self._is_searching = True
        return self._called

    def _called(self, model: Model, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        if not self._is_searching or not isinstance(module, torch.nn.Conv2d):
            return
        self._is_searching = False
        given = args[0] if args else None
        weight = parameters_of(module).get("weight")
        if not isinstance(given, PLAIN) or given.dim() not in (3, 4) or given.grad_fn is not None:
            return
        if weight is None or weight.dim() != 4 or not is_real(weight) or not weight.is_floating_point():
            return
        if weight.shape[2] * weight.shape[3] >= LEAST_AREA and weight.shape[0]:
            self._weight, self._layer = weakref.ref(weight), (model, name)
            self._hold(self.training.step)
            self._tell()

    def end_close(self) -> None:
        step = self.training.step
        if self._weight is not None and step >= HOLD_EVERY * self._held_at:
            self._hold(step)
        if self._sent:
            self._write(wait=False)

    def end_epoch(self) -> None:
        self._epochs += 1
        self._hold(self.training.last_step)
        if self._epochs & (self._epochs - 1) == 0:
            self._tell()
        self._write(wait=True)

    def finish(self) -> None:
        self._hold(self.training.last_step)
        self._tell()
        self._write(wait=True)

    # -- reading ---------------------------------------------------------------------------------------------------

    def _hold(self, step: int) -> None:
        """Copies the filters as they are now: where a model is gone by the end of the run, the last copy is told."""
        weight = self._weight() if self._weight is not None else None
        if weight is None or self.training.done <= self._held_behind or self.training.session.place.is_member:
            return
        if not may_compute() or not is_real(weight) or not is_measurable(weight):
            return
        self._held_at, self._held_behind = step, self.training.done
        with Aside():
            self._held = (step, *_copied(weight.detach()))

    def _tell(self) -> None:
        held, self._held = self._held, None
        if held is not None and self._facts < MOST_FACTS:
            self._facts += 1
            self._sent.append(held)

    def _write(self, wait: bool) -> None:
        while self._sent and (wait or self._sent[0][2].is_there) and self._layer is not None:
            step, about, sent = self._sent.pop(0)
            model, name = self._layer
            weight = self._weight() if self._weight is not None else None
            layer = model.subject(name)
            called = self.training.name_of(weight) if weight is not None else None
            pixels = pictures(sent.read())
            if pixels is not None:
                parameter = called or (f"{layer}.weight" if layer else "weight")
                self.journal.fact("filters", step, {"parameter": parameter, "layer": layer, **about, **pixels})


def _copied(values: torch.Tensor) -> tuple[dict[str, Json], Sent]:
    """Some of the filters (count, channels, height, width), with one channel or three, and what they are."""
    count, channels, height, width = values.shape
    most = max(1, min(MOST_FILTERS, count, MOST_PIXELS // (height * width * (3 if channels == 3 else 1))))
    kept = torch.stack([values[round(at * (count - 1) / max(1, most - 1))] for at in range(most)]).float()
    if channels not in (1, 3):
        kept = kept.mean(1, keepdim=True)
    about: dict[str, Json] = {
        "count": count, "height": height, "width": width, "channels": kept.shape[1], "kept": most,
    }  # fmt: skip
    return about, Sent(kept)


def pictures(filters: torch.Tensor) -> dict[str, Json] | None:
    """`pixels`, `low` and `high` of filters (n, channels, height, width) on the CPU; None where one is not finite."""
    low, high = (bound.item() for bound in filters.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    # In halves, as the whole width may be more than float32 holds.
    width = max(high / 2 - low / 2, 1e-45)
    levels = ((filters.double() / 2 - low / 2) / width * 255).round().clamp(0, 255).to(torch.uint8)
    pixels = bytes(levels.permute(0, 2, 3, 1).reshape(-1).tolist())
    return {"pixels": base64.b64encode(pixels).decode(), "low": low, "high": high}
