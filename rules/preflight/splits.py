"""What the splits of a preflight are for, by their names."""

from __future__ import annotations

_HELD_OUT = ("val", "test", "dev", "eval", "holdout", "heldout")


def is_held_out(split: str) -> bool:
    """Whether the name of a split says that it is kept from training: other loaders may be of a second training."""
    return split.lower().startswith(_HELD_OUT)
