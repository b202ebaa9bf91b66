"""Follows mixed precision: the scaler's factor, the steps it skips, autocast, and the parameters' types."""

from __future__ import annotations

import math
from typing import Any

from ..rules.engine.records import Json
from ..rules.engine.signals import GRAD_SCALE
from .probe import Probe, Tap
from .readback import Label, Readback

_MOST_MODES = 8


class Precision(Probe):
    """The scale on change, the event `step_skipped`, and the fact `precision`.

    `precision`: `{"scaler": {"init_scale", "growth_factor", "backoff_factor", "growth_interval"} or null, "autocast":
    [{"device", "dtype"}], "parameters": {dtype: number of parameters}}`. `autocast` lists what was entered on closely
    watched steps.

    `step_skipped`: `{"optimizer": number or null, "scale": the scale it was tried with, "counted": bool}`, at the step
    that was to be made. Skipped steps are not counted as steps. On a device, a fused optimizer skips out of sight: such
    a step is `counted`, and told when the number comes back, with no scale.
    """

    name = "precision"
    taps = (
        Tap("torch.amp.grad_scaler:GradScaler", "unscale_", after="unscaled"),
        Tap("torch.amp.grad_scaler:GradScaler", "_maybe_opt_step", before="plain_step", after="plain_step_over"),
        Tap("torch.amp.grad_scaler:GradScaler", "update", before="before_update", after="after_update"),
        Tap("torch.amp.autocast_mode:autocast", "__enter__", before="autocast", close_only=True),
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._scaler: Json = None
        self._autocast: list[Json] = []
        self._scale = math.nan
        self._steps_before = -1
        self._readback = Readback(self._heard)

    # -- scaler ----------------------------------------------------------------------------------------------------

    def unscaled(self, args: Any, kwargs: Any, result: Any) -> None:
        """The factor was taken out of the gradients of one optimizer."""
        self.training.has_scaled_gradients = False

    def plain_step(self, args: Any, kwargs: Any) -> None:
        """The scaler steps an optimizer, if all gradients are finite."""
        self._steps_before = self.training.optimizer_steps

    def plain_step_over(self, args: Any, kwargs: Any, result: Any) -> None:
        """It has, or has not."""
        if self.training.optimizer_steps == self._steps_before:
            self.skipped(args[1])

    def skipped(self, optimizer: Any) -> None:
        """An optimizer changes nothing, as its gradients are not finite; this is not counted as a step."""
        data = {"optimizer": self.training.number_of(optimizer), "scale": self._scale, "counted": False}
        self.journal.event("step_skipped", self.training.done, data)

    def before_update(self, args: Any, kwargs: Any) -> None:
        """All optimizers have stepped; what was found in their gradients is still there, for those on a device."""
        scaler = args[0]
        if not getattr(scaler, "_enabled", False):
            return
        if self._scaler is None:
            self._scaler = {
                "init_scale": float(scaler._init_scale),
                "growth_factor": float(scaler.get_growth_factor()),
                "backoff_factor": float(scaler.get_backoff_factor()),
                "growth_interval": int(scaler.get_growth_interval()),
            }
            self._tell()
        states = getattr(scaler, "_per_optimizer_states", {})
        for optimizer in self.training.optimizers:
            state = states.get(id(optimizer))
            if state is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
                continue
            for found in state["found_inf_per_device"].values():
                if not found.is_cpu:
                    number = self.training.number_of(optimizer)
                    self._readback.add([Label("found", str(number), self.training.last_step)], found)

    def first_scaled(self, scaler: Any) -> None:
        """A loss was scaled: the first time, the scale is that of the first step."""
        if math.isnan(self._scale):
            self._heard("scale", "", self.training.done, float(scaler._init_scale))

    def after_update(self, args: Any, kwargs: Any, result: Any) -> None:
        """The scale may have changed."""
        self.training.has_scaled_gradients = False
        if getattr(args[0], "_enabled", False):
            self._read_scale(args[0], self.training.done)

    def _read_scale(self, scaler: Any, step: int) -> None:
        """Reads the scale: at once on the CPU, on a device only now and then, as that takes a copy."""
        scale = scaler._get_scale_async()
        if scale.is_cpu or self.training.close:
            self._readback.add([Label("scale", "", step)], scale)

    def _heard(self, what: str, subject: str, step: int, value: float) -> None:
        if what == "scale":
            if value != self._scale:
                self._scale = value
                self.journal.reading(GRAD_SCALE.name, "", step, value)
        elif value > 0.0:
            data = {"optimizer": int(subject) if subject.isdigit() else None, "scale": None, "counted": True}
            self.journal.event("step_skipped", step, data)

    def begin_another(self) -> None:
        self._scale = math.nan

    # -- types -----------------------------------------------------------------------------------------------------

    def autocast(self, args: Any, kwargs: Any) -> None:
        """A region of autocast is entered."""
        mode = args[0]
        if not getattr(mode, "_enabled", False):
            return
        entry: Json = {"device": str(mode.device), "dtype": str(mode.fast_dtype).removeprefix("torch.")}
        if entry not in self._autocast and len(self._autocast) < _MOST_MODES:
            self._autocast.append(entry)
            self._tell()

    def adopted(self) -> None:
        self._tell()

    def end_epoch(self) -> None:
        self._readback.flush()
        self._tell()

    def finish(self) -> None:
        self._readback.flush()

    def _tell(self) -> None:
        counts: dict[str, Json] = {}
        for owned in self.training.owned:
            for _, parameter in owned.items():
                dtype = str(parameter.dtype).removeprefix("torch.")
                seen = counts.get(dtype, 0)
                counts[dtype] = (seen if isinstance(seen, int) else 0) + 1
        self.training.fact("precision", {"scaler": self._scaler, "autocast": [*self._autocast], "parameters": counts})
