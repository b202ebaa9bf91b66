"""`tracker compare-models`: the first layer in which two models, or two checkpoints of one, differ."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .output import ExitCode, print_json, progress, say
from .progress import leaving, waiting

if TYPE_CHECKING:
    from ..compare.models.naming import Named
    from ..compare.models.result import ModelComparison

_SEED = 20_027
"""Of the numbers that `--shape` is filled with."""


@dataclass(frozen=True)
class Asked:
    """The options."""

    batch: str | None = None
    shape: str | None = None
    below: int | None = None
    names: Path | None = None
    loss: str | None = None
    train: bool = False
    keep_weights: bool = False
    rtol: float | None = None
    atol: float | None = None
    trust: bool = False
    html: Path | None = None
    png: Path | None = None
    as_json: bool = False


def do(a: str, b: str, asked: Asked) -> int:
    """Prints the comparison; returns 0 where the two are the same, 1 where they differ, 2 where that cannot be said."""
    from ..compare.models.naming import EXPECTED, parse

    for path in (asked.html, asked.png):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"There is no folder {path.absolute().parent} for {path.name}.")
    named = parse(a), parse(b)
    alone = [one for one in named if not one.module]
    if len(alone) == 1:
        raise ConfigError(f"{alone[0].text} is a checkpoint, and the other is a model. {EXPECTED}")
    for one in named:
        progress(f"{one.text}: {one.says}")
    names = _table(asked.names)
    # What the models' own code prints is no result.
    with redirect_stdout(sys.stderr), leaving("nothing was changed."), waiting("comparing the models"):
        found = _checkpoints(*named, names, asked) if alone else _models(*named, names, asked)
    for path, save in ((asked.html, found.save_html), (asked.png, found.save_png)):
        if path is not None:
            try:
                save(path)
            except OSError as error:
                raise ConfigError(f"{path} could not be written: {error.strerror}.") from error
            progress(f"written: {path}")
    if asked.as_json:
        print_json({"a": a, "b": b, **found.as_json()})
    else:
        for line in found.text().splitlines():
            say(line)
    if found.unjudged:
        return ExitCode.UNJUDGED
    return ExitCode.FINE if found.same else ExitCode.FOUND


def _checkpoints(a: Named, b: Named, names: Any, asked: Asked) -> ModelComparison:
    from ..compare.models.checkpoints import compare_checkpoints, load_file, state_of

    given = [
        ("--batch", asked.batch),
        ("--shape", asked.shape),
        ("--loss", asked.loss),
        ("--train", asked.train or None),
    ]
    for option, value in given:
        if value is not None:
            raise ConfigError(f"{option} is for models that are run. Give each as FILE.py:ATTRIBUTE@CHECKPOINT.pt.")
    first, second = (
        state_of(load_file(path, asked.trust), path) for path in (a.checkpoint, b.checkpoint) if path is not None
    )
    return compare_checkpoints(first, second, names)


def _models(a: Named, b: Named, names: Any, asked: Asked) -> ModelComparison:
    from ..compare.models.comparing import compare_models
    from ..compare.models.naming import model_of

    if asked.batch is None and asked.shape is None:
        raise ConfigError(
            "Nothing to run the models on. Give --batch FILE.pt, or --shape 8,3,32,32 for random numbers."
        )
    if asked.batch is not None and asked.shape is not None:
        raise ConfigError("Give --batch or --shape, not both.")
    first, second = model_of(a, asked.trust), model_of(b, asked.trust)
    if first is second:
        raise ConfigError(f"{a.text} and {b.text} are one and the same object. Name a class or function that makes it.")
    # Two checkpoints of one model keep their weights; a checkpoint of one goes into the other.
    copies = not (asked.keep_weights or (a.checkpoint is not None and b.checkpoint is not None))
    return compare_models(
        first,
        second,
        _batch(asked),
        loss=None if asked.loss is None else _loss(asked.loss),
        names=names,
        rtol=asked.rtol,
        atol=asked.atol,
        copy_weights=copies,
        train=asked.train,
    )


def _batch(asked: Asked) -> Any:
    import torch

    from ..compare.models.naming import batch_of

    if asked.batch is not None:
        if asked.below is not None:
            raise ConfigError("--below says which integers --shape is filled with: give --shape with it.")
        return batch_of(asked.batch, asked.trust)
    assert asked.shape is not None
    try:
        shape = [int(part) for part in asked.shape.split(",")]
        if min(shape) < 1:
            raise ValueError
    except ValueError:
        raise ConfigError(f"--shape is {asked.shape!r}; expected positive numbers such as 8,3,32,32.") from None
    generator = torch.Generator().manual_seed(_SEED)
    if asked.below is not None:
        return torch.randint(0, asked.below, shape, generator=generator)
    return torch.randn(shape, generator=generator)


def _loss(name: str) -> Any:
    """A loss of `torch.nn.functional` by name, of the output, or the first tensor in it, and the targets."""
    import torch
    import torch.nn.functional as F

    from ..probes.nested import tensors_in

    function = getattr(F, name, None)
    known = sorted(one for one in vars(F) if one.endswith(("_loss", "cross_entropy", "with_logits")) and one[0] != "_")
    if name not in known or function is None:
        raise ConfigError(f"--loss is {name!r}; expected one of torch.nn.functional: {', '.join(known)}.")

    def loss(output: Any, targets: Any) -> torch.Tensor:
        given = output if isinstance(output, torch.Tensor) else tensors_in(output)[0][1]
        if not isinstance(targets, torch.Tensor):
            raise ConfigError(
                f"--loss {name} needs a batch of (inputs, targets); the targets are a {type(targets).__name__}."
            )
        if name == "cross_entropy" and given.dim() == 3 and given.shape[:2] == targets.shape:
            given, targets = given.flatten(0, 1), targets.flatten()  # (B, T, classes) of a language model
        if targets.is_floating_point():
            targets = targets.to(given.dtype)
        made: torch.Tensor = function(given, targets)
        return made

    return loss


def _table(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f'--names is {path}: {error}. Expected JSON such as {{"name in A": "name in B"}}.') from error
    if not isinstance(content, dict):
        raise ConfigError(f'--names is {path} with a {type(content).__name__}; expected {{"name in A": "name in B"}}.')
    return content
