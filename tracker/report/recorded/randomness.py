"""Where the random numbers of a run came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..blocks import Block, Text
from .forms import cut_table, table_in

_GENERATORS = (("Python's random", "python"), ("numpy", "numpy"), ("torch", "torch"))


def blocks(captured: Mapping[str, Any]) -> list[Block]:
    """Nothing where no randomness was captured."""
    facts = table_in(captured, "randomness.json")
    if not facts:
        return []
    seeding, calls = table_in(facts, "seeding"), table_in(facts, "seedings")
    found: list[Block] = [
        *cut_table(
            ("generator", "seed", "digest of its state when the run began"),
            (
                (
                    what,
                    _seed(seeding.get(f"{name}_seeded"), seeding.get(f"{name}_seed")),
                    str(table_in(seeding, "digests").get(name) or ""),
                )
                for what, name in _GENERATORS
            ),
        )
    ]
    seed = seeding.get("hash_seed")
    hashes = f"Hashes of strings are {'fixed' if seeding.get('hash_fixed') else 'random'}"
    lines = [f"{hashes} (PYTHONHASHSEED={seed})." if seed not in (None, "") else f"{hashes}."]
    if seeding.get("state_captured"):
        lines.append("The whole state of each generator is stored, so that a run without seeds can be done again too.")
    found.append(Text(lines))
    rows = [
        (kind, line, len(values) if isinstance(values, list) else 1)
        for kind, at in calls.items()
        for line, values in table_in(at).items()
    ]
    return found + cut_table(("call", "line", "times"), rows, "{n} places where generators were seeded or made")


def _seed(is_seeded: object, seed: object) -> str:
    if seed is not None:
        return str(seed)
    if is_seeded is None:
        return "not known"
    return "given, not known which" if is_seeded else "none given"
