"""Numbers that a script writes for TensorBoard: they are metrics of the run, as if they were given to `run.log`.

Nothing here imports TensorBoard. It listens to `SummaryWriter.add_scalar` and `add_scalars`, of torch and of
tensorboardX.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..probes.probe import Probe, Tap
from ..probes.readback import Label
from ..rules.engine.signals import METRIC

_PARTS = frozenset({"train", "training", "val", "valid", "validation", "eval", "evaluation", "dev", "test"})
"""Folders of writers that name a part of the data: a writer for each, with the same tags, is common."""
_WRITERS = ("torch.utils.tensorboard.writer:SummaryWriter", "tensorboardX.writer:SummaryWriter")

_SCALAR = ("tag", "scalar_value", "global_step")
_SCALARS = ("main_tag", "tag_scalar_dict", "global_step")
"""Arguments of the two methods, behind the writer."""


class TensorBoard(Probe):
    """Metrics from TensorBoard's writers, with the tag as key, at the step they were written at.

    The tags of `add_scalars` stand behind the main one: `loss/val`. A writer whose folder is called `val`, say, has it
    in front: `val/loss`. What was logged with MLflow under the same key at the same step is there already.
    """

    name = "tensorboard"
    taps = tuple(
        Tap(where, method, after=heard)
        for where in _WRITERS
        for method, heard in (("add_scalar", "scalar"), ("add_scalars", "scalars"))
    )

    def scalar(self, args: Any, kwargs: Any, result: Any) -> None:
        """One number was written."""
        tag, value, step = (argument(args, kwargs, at, name) for at, name in enumerate(_SCALAR, 1))
        self._take(args[0], tag, value, step)

    def scalars(self, args: Any, kwargs: Any, result: Any) -> None:
        """Several numbers were written under one tag."""
        main, values, step = (argument(args, kwargs, at, name) for at, name in enumerate(_SCALARS, 1))
        for tag, value in dict(values).items():
            self._take(args[0], f"{main}/{tag}", value, step)

    def _take(self, writer: Any, tag: Any, value: Any, step: Any) -> None:
        if value is None or isinstance(value, (str, bytes)):
            return  # the name of a blob of Caffe2's
        part = os.path.basename(
            os.path.normpath(str(getattr(writer, "log_dir", None) or getattr(writer, "logdir", "")))
        )
        key = f"{part}/{tag}" if part.lower() in _PARTS else str(tag)
        session = self.training.session
        if step is not None and session.in_mlflow.get(key) == step:
            return
        if getattr(getattr(value, "device", None), "type", "cpu") == "cpu" or not hasattr(value, "numel"):
            session.log({key: value}, step)
        elif value.numel() == 1:
            # On a device: it comes back with the others.
            self.training.readback.add([Label(METRIC.name, key, session.step if step is None else int(step))], value)


def argument(args: Sequence[Any], kwargs: Mapping[str, Any], index: int, name: str) -> Any:
    """An argument of a call, given by place or by name; None when it was left to its default."""
    return args[index] if len(args) > index else kwargs.get(name)
