"""Which parts of a sample's input an answer hangs on: captum's gradients, made on request when the run is over."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .criterion import Criterion
from .looked_at import REAL, Row
from .nested import tensors_in
from .probe import Pass
from .said_of_rows import rounded
from .sample_inputs import MOST_CHANNELS, MOST_NUMBERS, MOST_TIMES, in_bytes, scale_of

if TYPE_CHECKING:
    from ..rules.engine.records import Json

METHOD = "captum Saliency"

_MOST_ELEMENTS = 1 << 18
"""Values of a sample that are kept to be given to the model again."""

_SPREAD = frozenset({"DistributedDataParallel", "DataParallel", "FullyShardedDataParallel"})

_PLAIN = (type(None), bool, int, float, str)


class CannotAsk(Exception):
    """The model cannot be given single samples again; the message says why."""


class Call(NamedTuple):
    """How the model was called: tensors with a row for each sample are left out, and named by their place."""

    module: Any
    """Held until the run is over, as a script may let it go before."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    main: str
    """Which of them tells what the sample is."""
    criterion: Criterion
    device: torch.device


class Asked(NamedTuple):
    """Samples that the model is to be given again."""

    split: str
    picture: tuple[int, int, int] | None
    """The shape of pictures that were laid flat."""
    rows: list[Row]


def call_of(call: Pass, samples: int, main: torch.Tensor, criterion: Criterion) -> tuple[Call, dict[str, torch.Tensor]]:
    """A call as it can be made again for single samples, and what it was given of `samples`; raises `CannotAsk`."""
    if type(call.module).__name__ in _SPREAD:
        raise CannotAsk("it is spread over several devices")
    if not main.is_floating_point():
        raise CannotAsk(f"its input is of the kind {main.dtype}, which has no gradient")
    given: dict[str, torch.Tensor] = {}
    where = ""
    for key, value in [*enumerate(call.args), *call.kwargs.items()]:
        if isinstance(value, torch.Tensor) and value.dim() and len(value) == samples:
            given[str(key)] = value
            where = str(key) if value is main else where
        elif not isinstance(value, _PLAIN):
            raise CannotAsk(f"it is given a {type(value).__name__} that is not one tensor with a row for each sample")
    if not where:
        raise CannotAsk("its input is inside of something else that it is given")
    if sum(value.numel() for value in given.values()) > _MOST_ELEMENTS * samples:
        raise CannotAsk(f"its samples have more than {_MOST_ELEMENTS:,} values")
    args = tuple(None if str(key) in given else value for key, value in enumerate(call.args))
    kwargs = {key: None if key in given else value for key, value in call.kwargs.items()}
    return Call(call.module, args, kwargs, where, criterion, main.device), given


def saliency_of(
    call: Call, row: Row, entry: Mapping[str, Json], picture: tuple[int, int, int] | None
) -> dict[str, Json]:
    """The fact `saliency` of one sample, for the answer that stands in `entry`.

    Raises `CannotAsk` where the model, or captum, does not give it.
    """
    try:
        from captum.attr import Saliency
    except ImportError as error:
        reason = f"captum cannot be imported ({error}); `pip install soundrun[saliency]` brings it"
        raise CannotAsk(reason) from None
    predicted = entry["predicted"]
    if predicted is None or (isinstance(predicted, list) and call.criterion.is_classifying):
        raise CannotAsk("its answers are too large, or sequences")
    label = predicted if isinstance(predicted, int) and call.criterion.is_classifying else None
    given = {name.removeprefix(REAL): values.to(call.device, copy=True) for name, values in row.real.items()}
    with _as_it_was(call.module) as state:

        def score(main: torch.Tensor) -> torch.Tensor:
            values = {**given, call.main: main}
            args = tuple(values.get(str(key), value) for key, value in enumerate(call.args))
            kwargs = {key: values.get(key, value) for key, value in call.kwargs.items()}
            output = torch.func.functional_call(call.module, state, args, kwargs)
            return _score(output, call.criterion, label)

        try:
            found = Saliency(score).attribute(given[call.main].requires_grad_())
        except Exception as error:
            raise CannotAsk(f"it raised {type(error).__name__}: {str(error)[:200]}") from None
    told: dict[str, Json] = {
        "id": row.id,
        "method": METHOD,
        "class": predicted if isinstance(predicted, int) else None,
    }
    return {**told, **_map(found.detach().float().cpu(), row, picture)}


def _score(output: Any, criterion: Criterion, label: int | None) -> torch.Tensor:
    """The output for a class, or the sum of all: of shape (1,)."""
    values = next((tensor for path, tensor in tensors_in(output, "output") if path == criterion.path), None)
    if values is None:
        raise CannotAsk(f"it returned no tensor at {criterion.path}")
    if label is not None:
        values = values.movedim(criterion.class_dim, -1)[..., label]
    return values.sum().reshape(1)


def _map(found: torch.Tensor, row: Row, picture: tuple[int, int, int] | None) -> dict[str, Json]:
    form = row.form
    if form.kind == "image" or (form.kind == "flat" and picture is not None):
        if form.kind == "flat" and picture is not None:
            planes, scale = found.reshape(picture).amax(0), scale_of(picture[1:])
        else:
            planes, scale = (found.amax(form.channels) if form.channels else found)[0], form.scale
        planes = planes[::scale, ::scale]
        finite = torch.nan_to_num(planes, nan=0.0, posinf=0.0)
        pixels = in_bytes(finite, 0.0, float(finite.max()))
        return {"height": int(planes.shape[0]), "width": int(planes.shape[1]), "pixels": pixels}
    if form.kind == "series":
        rows = found.movedim(form.channels, 1)[0, :MOST_CHANNELS, :MOST_TIMES]
        return {"values": [[rounded(value) for value in channel] for channel in rows.tolist()]}
    return {"values": [rounded(value) for value in found.reshape(-1)[:MOST_NUMBERS].tolist()]}


@contextlib.contextmanager
def _as_it_was(module: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Copies of parameters and buffers to call the module with, in evaluation mode.

    Behind it modes and random numbers are as they were before, whatever happens; what the module prints and warns of
    meanwhile is not seen.
    """
    modes = [(part, part.training) for part in module.modules()]
    put_back = _random_states()
    quiet = ("ignore", None, Warning, None, 0)
    # Not by `catch_warnings`: behind it, warnings that were given once are given again.
    warnings.filters.insert(0, quiet)  # type: ignore[attr-defined]
    try:
        for part, _ in modes:
            part.__dict__["training"] = False
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            tensors = [*module.named_parameters(), *module.named_buffers()]
            yield {name: tensor.detach().clone() for name, tensor in tensors}
    finally:
        warnings.filters.remove(quiet)  # type: ignore[attr-defined]
        for part, mode in modes:
            part.__dict__["training"] = mode
        put_back()


def _random_states() -> Callable[[], None]:
    """The states of all global generators, as what puts them back."""
    python, on_cpu, numpy = random.getstate(), torch.get_rng_state(), sys.modules.get("numpy")
    of_numpy = numpy.random.get_state() if numpy is not None else None
    on_devices = torch.cuda.get_rng_state_all() if torch.cuda._initialized else None

    def put_back() -> None:
        random.setstate(python)
        torch.set_rng_state(on_cpu)
        if numpy is not None:
            numpy.random.set_state(of_numpy)
        if on_devices is not None:
            torch.cuda.set_rng_state_all(on_devices)

    return put_back
