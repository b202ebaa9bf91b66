"""Dropout, weight decay and label smoothing, switched off for a while: what keeps a model from learning by heart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.module import register_module_forward_pre_hook

from ..drilling.subject import Subject

_FRACTIONS: tuple[tuple[type | str, str, str], ...] = (
    (_DropoutNd, "p", "dropout"),
    (torch.nn.RNNBase, "dropout", "dropout"),
    (torch.nn.MultiheadAttention, "dropout", "dropout"),
    (torch.nn.CrossEntropyLoss, "label_smoothing", "label smoothing"),
    ("DropPath", "drop_prob", "drop path"),
    ("StochasticDepth", "p", "drop path"),
    ("DropBlock2d", "drop_prob", "drop path"),
)
"""Class, or its name where it is a library's; the attribute that is a share of 0 to 1; and how it is called."""


@contextmanager
def regularisation_off(subject: Subject) -> Iterator[set[str]]:
    """Everything that is called in the block does without; yields the names of what was found to be on.

    Modules are met when they are called, so that a criterion outside the model is among them. Dropout by function
    stays on. Also when the block raises, everything is as before.
    """
    found: set[str] = set()
    changed: list[tuple[torch.nn.Module, str, float]] = []
    decays: list[tuple[dict[str, Any], Any]] = []

    def meet(module: torch.nn.Module, args: Any) -> None:
        for kind, attribute, name in _FRACTIONS:
            if type(module).__name__ != kind if isinstance(kind, str) else not isinstance(module, kind):
                continue
            share = module.__dict__.get(attribute)
            if isinstance(share, (int, float)) and share > 0:
                changed.append((module, attribute, share))
                module.__dict__[attribute] = 0.0
                found.add(name)

    handle = register_module_forward_pre_hook(meet)
    try:
        for module in subject.model.modules():
            meet(module, ())
        for optimizer in subject.optimizers:
            for group in optimizer.param_groups:
                if isinstance(group.get("weight_decay"), (int, float)) and group["weight_decay"]:
                    decays.append((group, group["weight_decay"]))
                    group["weight_decay"] = 0.0
                    found.add("weight decay")
        yield found
    finally:
        handle.remove()
        for module, attribute, share in reversed(changed):
            module.__dict__[attribute] = share
        for group, decay in decays:
            group["weight_decay"] = decay
