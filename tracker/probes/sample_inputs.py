"""Inputs of single samples in forms that can be looked at: pictures, tokens, numbers, series."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from .said_of_rows import NOTHING, rounded

if TYPE_CHECKING:
    from ..rules.engine.records import Json

LONGEST_SIDE = 64
"""Pixels of the longer side of a picture that is kept; of a larger one, every n-th."""

MOST_TOKENS, MOST_NUMBERS, MOST_CHANNELS, MOST_TIMES, MOST_TEXT = 128, 64, 8, 128, 500

_LEAST_SIDE, _MOST_RATIO = 4, 4
"""Pixels of the shorter side of a picture, and how many times as long the other may be."""
_LEAST_PLANE = 8
"""The same of a picture without a dimension of channels, which may be a series as well."""
_MOST_PLANES = 256
"""Channels up to which a tensor (C, H, W) is a picture: the mean of them, unless there are three."""

_FLAT = (64, 4096)
"""Values of a row that may be a picture laid flat, at least and at most."""
_NEAR, _ALIKE = 0.88, 2.3
"""Where a row is a picture laid flat: values beside and below each other differ by at most this part of what distant
ones do, and the one by at most so many times the other. (Of handwritten digits 0.3 and 0.6, or 0.5 and 0.8 where each
pixel is standardised; of tables 1 and 1; of waves 0.1 and 0.9, or 0.5 and 1.1.)"""


class Form(NamedTuple):
    """How the rows of one input are kept, and told."""

    kind: str
    """`image`, `tokens`, `numbers` or `series`; `flat` for numbers that may be a picture, which is told later."""
    name: str
    """The argument of the model."""
    shape: tuple[int, ...]
    """Of a sample, without the dimension of the batch."""
    dtype: str
    channels: int = 0
    """Dimension of a picture's or a series' channels, counted with that of the batch; 0 where it has none."""
    scale: int = 1

    def cut(self, rows: torch.Tensor) -> torch.Tensor:
        """What is kept of some rows (n, ...): a small copy, whose shape is the same whatever the length of a row."""
        rows = rows.detach()
        if self.kind == "image":
            rows = rows.unsqueeze(-1) if not self.channels else rows.movedim(self.channels, -1)
            rows = rows[:, :: self.scale, :: self.scale]
            rows = rows.float() if rows.shape[-1] in (1, 3) else rows.float().mean(-1, keepdim=True)
            return rows.clone()
        if self.kind == "series":
            rows = rows.movedim(self.channels, 1)[:, :MOST_CHANNELS, :MOST_TIMES].float()
            return torch.nn.functional.pad(rows, (0, MOST_TIMES - rows.shape[-1]), value=math.nan)
        rows = rows.reshape(len(rows), -1)
        if self.kind == "tokens":
            rows = rows[:, :MOST_TOKENS].long()
            return torch.nn.functional.pad(rows, (0, MOST_TOKENS - rows.shape[1]), value=NOTHING)
        return rows[:, : _FLAT[1] if self.kind == "flat" else MOST_NUMBERS].float().clone()

    def told(self, kept: torch.Tensor, picture: tuple[int, int, int] | None = None) -> tuple[str, Json]:
        """Kind and readable form of one kept row on the CPU; `picture` is the shape (C, H, W) of one laid flat."""
        if self.kind == "image":
            return "image", _picture(kept, self.scale, self.dtype)
        if self.kind == "flat" and picture is not None:
            scale = scale_of(picture[1:])
            return "image", _picture(kept.reshape(picture).movedim(0, -1)[::scale, ::scale], scale, self.dtype)
        if self.kind == "tokens":
            tokens: list[Json] = [int(token) for token in kept.tolist() if token != NOTHING]
            return "tokens", {"tokens": tokens}
        if self.kind == "series":
            length = min(MOST_TIMES, self.shape[0] if self.channels == 2 else self.shape[-1])
            return "series", {"values": [[rounded(value) for value in row[:length]] for row in kept.tolist()]}
        values: list[Json] = [rounded(value) for value in kept[:MOST_NUMBERS].tolist()]
        return "numbers", {"values": values, "name": self.name}


def form_of(name: str, rows: torch.Tensor, like: Form | None = None) -> Form:
    """How rows (N, ...) of the input `name` are kept: as those before (`like`) that had another length only."""
    shape, dtype = tuple(int(n) for n in rows.shape[1:]), str(rows.dtype).removeprefix("torch.")
    if like is not None and like.kind in ("series", "tokens") and len(shape) == len(like.shape):
        return like._replace(shape=shape)
    is_whole = not (rows.is_floating_point() or rows.is_complex())
    if len(shape) == 3:
        channels = 1 if shape[0] in (1, 3) or shape[2] not in (1, 3) else 3
        sides = shape[1:] if channels == 1 else shape[:2]
        if shape[channels - 1] <= _MOST_PLANES and min(sides) >= _LEAST_SIDE:
            return Form("image", name, shape, dtype, channels, scale_of(sides))
    if len(shape) == 2 and min(shape) >= _LEAST_PLANE and max(shape) <= _MOST_RATIO * min(shape):
        return Form("image", name, shape, dtype, 0, scale_of(shape))
    if is_whole and rows.dtype is not torch.bool:
        return Form("tokens", name, shape, dtype)
    if len(shape) == 2 and rows.is_floating_point():
        # The shorter of the two are taken to be the channels.
        return Form("series", name, shape, dtype, 1 if shape[0] <= shape[1] else 2)
    if len(shape) == 1 and rows.is_floating_point() and _pictures(shape[0]):
        return Form("flat", name, shape, dtype)
    return Form("numbers", name, shape, dtype)


def picture_in(rows: torch.Tensor) -> tuple[int, int, int] | None:
    """The shape (C, H, W) that rows (n, F) had before they were laid flat; None where they look like a table.

    In a picture values beside and below each other are alike; in a table no place of a row has to do with the next.
    """
    rows = rows[torch.isfinite(rows).all(1)]
    for picture in _pictures(rows.shape[1]) if len(rows) else ():
        planes = rows.reshape(-1, *picture[1:])
        far = (planes - planes.roll((picture[1] // 2, picture[2] // 2), (1, 2))).abs().mean()
        beside = (planes[:, :, 1:] - planes[:, :, :-1]).abs().mean()
        below = (planes[:, 1:] - planes[:, :-1]).abs().mean()
        least, most = sorted((float(beside), float(below)))
        # In a series laid out in lines, what is half a line away is nearer than what is below.
        lag = picture[2] // 2
        flat = planes.flatten(1)
        half = (flat[:, lag:] - flat[:, :-lag]).abs().mean()
        is_near = 0 < most <= _NEAR * float(far) and float(below) <= _NEAR * float(half)
        if is_near and most <= _ALIKE * least:
            return picture
    return None


def scale_of(sides: Sequence[int]) -> int:
    """Every how many pixels of a picture are kept."""
    return max(1, -(-max(sides) // LONGEST_SIDE))


def text_of(text: str) -> Json:
    """The readable form of a text."""
    return {"text": text[:MOST_TEXT]}


def _pictures(n: int) -> list[tuple[int, int, int]]:
    if not _FLAT[0] <= n <= _FLAT[1]:
        return []
    sides = [(planes, math.isqrt(n // planes)) for planes in (1, 3) if n % planes == 0]
    return [(planes, side, side) for planes, side in sides if planes * side * side == n and side >= _LEAST_PLANE]


def _picture(pixels: torch.Tensor, scale: int, dtype: str) -> Json:
    """(H, W, C) floats as bytes: 0 stands for `low`, 255 for `high`."""
    finite = pixels[torch.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
    if dtype == "uint8":
        low, high = 0.0, 255.0
    return {
        "height": int(pixels.shape[0]),
        "width": int(pixels.shape[1]),
        "channels": int(pixels.shape[2]),
        "pixels": in_bytes(pixels, low, high),
        "low": rounded(low),
        "high": rounded(high),
        "scale": scale,
    }


def in_bytes(values: torch.Tensor, low: float, high: float) -> str:
    """Numbers as bytes in base64, scaled so that `low` is 0 and `high` 255; what is not finite is as low as can be."""
    span = high - low
    values = torch.nan_to_num(values.double(), nan=low, posinf=high, neginf=low)
    scaled = ((values - low) / span if span else torch.zeros_like(values)).clamp(0, 1) * 255
    return base64.b64encode(bytes(scaled.round().to(torch.uint8).reshape(-1).tolist())).decode()
