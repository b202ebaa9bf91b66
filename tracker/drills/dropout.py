"""Switches dropout off, and nothing else."""

from __future__ import annotations

import torch
from torch.nn.modules.dropout import _DropoutNd


def without_dropout(model: torch.nn.Module) -> None:
    """Puts every dropout layer in evaluation mode; whoever keeps the model `preserved` brings it back.

    Dropout inside of other layers (recurrent ones, attention, `functional.dropout`) stays as it is: it hangs on their
    own mode, which does more.
    """
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.training = False
