"""Saves what a training would need to go on from here, or to be looked at."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .passes import Passes


def save(training: Any, path: Path, about: Mapping[str, Any]) -> None:
    """Writes a file for `torch.load(path, weights_only=False)`; raises `OSError` when there is no room.

    It holds `about`, `models` (state dict by label), `optimizers` (state dicts, in the order of their first steps) and
    `random` (states of Python, numpy and torch). Nothing is drawn from a generator and nothing moved: tensors are
    written from where they are.
    """
    passes = training.probe(Passes)
    models = {model.label: model.core for model in (passes.models if passes is not None else ())}
    content = {
        **about,
        "models": {label: module.state_dict() for label, module in models.items() if module is not None},
        "optimizers": [optimizer.state_dict() for optimizer in training.optimizers],
        "random": _generators(),
    }
    part = path.with_suffix(".part")
    try:
        torch.save(content, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _generators() -> dict[str, Any]:
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        states["numpy"] = numpy.random.get_state()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states
