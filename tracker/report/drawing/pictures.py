"""Small pictures from stored pixels: PNG files in base64, as a page holds them."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

Pixels = np.ndarray[Any, Any]

LARGEST_SIDE = 256
"""Pixels of the longer side of a picture that is drawn; of a larger one, every n-th."""
MOST_BYTES = 1 << 20
"""Of stored pixels; what is larger is no picture of ours."""


def stored_pixels(value: object, *shape: object) -> Pixels | None:
    """Pixels from base64 as `uint8` of this shape; None for anything else than exactly that."""
    sizes = [one for one in shape if isinstance(one, int) and not isinstance(one, bool) and one > 0]
    if not isinstance(value, str) or len(sizes) != len(shape) or len(value) > MOST_BYTES * 4 // 3 + 4:
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    expected = 1
    for size in sizes:
        expected *= size
    return np.frombuffer(raw, np.uint8).reshape(sizes) if len(raw) == expected else None


def png(pixels: Pixels) -> str:
    """Base64 of a picture: `uint8` of the shape (H, W), or (H, W, C) with 1, 3 or 4 channels."""
    from PIL import Image

    step = -(-max(pixels.shape[:2]) // LARGEST_SIDE)
    pixels = np.ascontiguousarray(pixels[::step, ::step])
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode("ascii")


def heat(values: Pixels) -> Pixels:
    """(H, W, 3) in colours of even steps, dark to bright, of `uint8` (H, W)."""
    return _colours("inferno")[values]


def around_zero(values: Pixels, most: float) -> Pixels:
    """(..., 3) of numbers: blue below zero, white at it, red above; the full colour at `most` on either side."""
    scaled = np.clip(np.nan_to_num(values) / (most or 1.0), -1.0, 1.0)
    return _colours("RdBu_r")[((scaled + 1) * 127.5).astype(np.uint8)]


def side_by_side(pictures: Sequence[Pixels], columns: int, zoom: int = 1) -> Pixels:
    """One picture with an alpha channel of several (H, W, 3) of the same size, in rows, with nothing between them."""
    height, width = pictures[0].shape[0] * zoom, pictures[0].shape[1] * zoom
    gap = max(1, min(height, width) // 5)
    rows = -(-len(pictures) // columns)
    whole = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for number, one in enumerate(pictures):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        place = whole[top : top + height, left : left + width]
        place[..., :3] = one.repeat(zoom, 0).repeat(zoom, 1)
        place[..., 3] = 255
    return whole


@cache
def _colours(name: str) -> Pixels:
    import matplotlib

    found: Pixels = (np.asarray(matplotlib.colormaps[name](np.arange(256)))[:, :3] * 255).astype(np.uint8)
    return found
