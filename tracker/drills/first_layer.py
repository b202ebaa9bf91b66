"""What the first layer of a model is given, whatever the model has made of its input before."""

from __future__ import annotations

from typing import Any

import torch

from ..drilling.subject import Subject
from ..rules.engine.records import Json
from .columns import scale_of

_MOST_LAYERS = 4
"""Layers, in the order of their calls, that are looked at."""


def first_layers(subject: Subject) -> tuple[list[dict[str, Json]], Any]:
    """(the layers called first, the model's output for the batch; None where it could not be computed).

    Each layer is `{"name", "class", "input": scale and `shape` of what it was given, "output": scale,
    "viewed": whether that is a picture (N, H, W, C) of the batch whose values were taken as (N, C, H, W) in their old
    order}`, of modules without modules inside. One pass is made, with a graph, as some models differentiate inside.
    """
    found: list[dict[str, Json]] = []
    names = {module: name for name, module in subject.model.named_modules() if not list(module.children())}
    pictures = [one for _, one in subject.inputs() if one.dim() == 4]
    open_calls: list[dict[str, Json]] = []

    def before(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        given = next((one for one in args if isinstance(one, torch.Tensor)), None)
        if given is None or len(found) >= _MOST_LAYERS or not given.numel():
            return
        told: dict[str, Json] = {"name": names[module], "class": type(module).__name__}
        told["input"] = (scale_of(given) if given.is_floating_point() else {}) | {"shape": list(given.shape)}
        told["viewed"] = any(_is_viewed(given, one) for one in pictures)
        found.append(told)
        open_calls.append(told)

    def after(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        made = output[0] if isinstance(output, (tuple, list)) and output else output
        if open_calls and open_calls[-1]["name"] == names[module]:
            told = open_calls.pop()
            if isinstance(made, torch.Tensor) and made.is_floating_point():
                told["output"] = scale_of(made)

    hooks: list[Any] = []
    try:
        for module in names:
            hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        with torch.enable_grad():
            output = subject.output()
    except Exception:
        return found, None
    finally:
        for hook in hooks:
            hook.remove()
    return found, output


def _is_viewed(given: torch.Tensor, picture: torch.Tensor) -> bool:
    """Whether channels were moved to the front by `view`, which leaves the values where they are."""
    n, height, width, channels = picture.shape
    if channels < 2 or list(given.shape) != [n, channels, height, width] or channels == height:
        return False
    return given.dtype == picture.dtype and torch.equal(given.detach().reshape(-1), picture.detach().reshape(-1))
