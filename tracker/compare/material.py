"""What two runs computed with: the files they read, the seeds they were given, and the states of their generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..capture.data import name_of
from ..capture.random_state import RandomState
from ..capture.seedings import DRAWN, ENTROPY, FRESH, GENERATOR
from .kinds import RecordedDifference
from .recorded import RecordedRun

GENERATORS = ("torch", "numpy", "python")
"""The generators of a process that a state is stored of, those that draw most in a training first."""

KINDS_OF = {"torch": "torch.", "numpy": "numpy.", "python": "random."}
"""How the kinds of notes on a generator's seeds begin, by generator."""

_NOT_GIVEN = (ENTROPY, FRESH, DRAWN, GENERATOR)


def is_given(kind: str) -> bool:
    """True for notes of seeds that a script gave, not of those that a generator took from the system."""
    return kind not in _NOT_GIVEN


def data_names(data: Mapping[str, Any]) -> set[str]:
    """Names of the files a run read, relative to its project where they lie in it."""
    return {name_of(row) for row in rows_of(data)}


def rows_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files in a `data.json`; what has not the form of one is passed over."""
    items = data.get("items")
    rows = [row for row in items if isinstance(row, dict)] if isinstance(items, list) else []
    return [row for row in rows if isinstance(row.get("path"), str) and isinstance(row.get("kind"), str)]


def data_differences(a: Mapping[str, Any], b: Mapping[str, Any], told: set[str]) -> list[RecordedDifference]:
    """One for each file whose content is not the same or that only one run read.

    A file that was moved is none; neither is one of `told`, which are compared line by line, nor one that came with a
    package. What a run wrote over before its end is known as it was left: such a file follows from the numbers.
    """
    if not a or not b:
        return []
    left = {name_of(row): row for row in rows_of(a)}
    right = {name_of(row): row for row in rows_of(b)}
    digests = ({row.get("sha256") for row in left.values()}, {row.get("sha256") for row in right.values()})
    found = []
    for name in sorted({*left, *right}):
        one, other = left.get(name), right.get(name)
        known = one or other or {}
        if name in told or known.get("distribution"):
            continue
        if one is not None and other is not None and _is_same(one, other):
            continue
        if one is None or other is None:
            digest = known.get("sha256")
            if digest is not None and digest in digests[0 if one is None else 1]:
                continue
        found.append(
            RecordedDifference(
                f"data:{name}", "data", f"data file {name}", _described(one), _described(other),
                can_matter=not any(row is not None and row.get("rewritten") for row in (one, other)),
                tags=frozenset({"sampled"} if known.get("kind") == "sampled" else ()),
            )
        )  # fmt: skip
    return found


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True for the same content, as far as it is known: of a large file one side may know samples only."""
    if {one.get("kind"), other.get("kind")} == {"full", "sampled"}:
        return bool(one.get("size") == other.get("size"))
    return (one.get("kind"), one.get("sha256")) == (other.get("kind"), other.get("sha256"))


def _described(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    if row.get("kind") == "missing" or not row.get("sha256"):
        return str(row.get("kind") or "unknown")
    size = f"{row['size']} bytes, " if row.get("size") is not None else ""
    hub = row.get("hub")
    revision = f", revision {str(hub['revision'])[:12]}" if isinstance(hub, Mapping) and hub.get("revision") else ""
    weaker = " of samples" if row.get("kind") == "sampled" else ""
    return f"{size}sha256{weaker} {str(row['sha256'])[:12]}{revision}"


def randomness_differences(a: RecordedRun, b: RecordedRun) -> list[RecordedDifference]:
    """One for each generator that was given another seed, or that came with another state: an unseeded run's own."""
    one, other = _stored(a), _stored(b)
    if not one or not other:
        return []
    left, right = _table(one, "seeding"), _table(other, "seeding")
    found = []
    for name in GENERATORS:
        seeds = (_seed(left, name), _seed(right, name))
        given = (left.get(f"{name}_seeded"), right.get(f"{name}_seeded"))
        noted = (_noted(one, name), _noted(other, name))
        if seeds[0] == seeds[1] and noted[0] != noted[1] and None not in noted:
            pair = _first_other(noted[0] or [], noted[1] or [])
            found.append(RecordedDifference(f"seed:{name}", "seed", f"seed of {name}", *pair))
        elif seeds[0] != seeds[1] and True in given:
            shown = [seed if seed is not None else "not seeded" for seed in seeds]
            found.append(RecordedDifference(f"seed:{name}", "seed", f"seed of {name}", shown[0], shown[1]))
        is_given_otherwise = any(row.id == f"seed:{name}" for row in found)
        tag = _state(one, other, left, right, name, seeds[0] is not None)
        if is_given_otherwise and not (name == "numpy" and _made_generators(one) and _made_generators(other)):
            continue  # its state follows from the seed
        if tag is not None:
            found.append(
                RecordedDifference(
                    f"state:{name}", "random state", f"random state of {name}",
                    _digest(left, one, name, tag), _digest(right, other, name, tag), tags=frozenset({tag}),
                    can_matter=not (_is_untouched(one, name) and _is_untouched(other, name)),
                )
            )  # fmt: skip
    if left.get("hash_seed") != right.get("hash_seed"):
        found.append(
            RecordedDifference(
                "state:hash", "random state", "seed of string hashes", left.get("hash_seed"), right.get("hash_seed"),
                tags=frozenset({"hash", "unseeded"}),
            )
        )  # fmt: skip
    return found


def _stored(run: RecordedRun) -> Mapping[str, Any]:
    stored = run.captured("randomness.json") or run.process.get("randomness") or {}
    return stored if isinstance(stored, Mapping) else {}


def _table(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}


def _seed(seeding: Mapping[str, Any], name: str) -> str | None:
    seed = seeding.get(f"{name}_seed")
    return str(seed) if seed is not None and seeding.get(f"{name}_seeded") is True else None


def _noted(stored: Mapping[str, Any], name: str) -> list[str] | None:
    """Every seed that the script gave to generators of this kind, in the order of its lines; None for an old run."""
    seedings = stored.get("seedings")
    if not isinstance(seedings, Mapping):
        return None
    found = []
    for kind, lines in sorted(seedings.items()):
        if str(kind).startswith(KINDS_OF[name]) and is_given(str(kind)) and isinstance(lines, Mapping):
            found += [str(value) for values in lines.values() if isinstance(values, list) for value in values]
    return found


def _first_other(a: list[str], b: list[str]) -> tuple[str | None, str | None]:
    """The first seeds that are not the same."""
    place = next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return (a[place] if place < len(a) else None), (b[place] if place < len(b) else None)


def _entropies(stored: Mapping[str, Any]) -> list[str]:
    """What numpy took from the system for its generators, its own first one among them."""
    seedings = stored.get("seedings")
    lines = seedings.get(ENTROPY) if isinstance(seedings, Mapping) else None
    if isinstance(lines, Mapping):
        values = [str(value) for row in lines.values() if isinstance(row, list) for value in row]
        return [value.rpartition(":")[2] for value in values]
    rows = stored.get("numpy_entropy")
    return [str(row[-1]) for row in rows if isinstance(row, list) and row] if isinstance(rows, list) else []


def _state(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    left: Mapping[str, Any],
    right: Mapping[str, Any],
    name: str,
    same_seed: bool,
) -> str | None:
    """How the state of a generator differs; None where it does not.

    `unseeded`: each run has numbers of its own. `drawn`: from one seed and further on, which follows from something
    else. `before`: the same where the training began, after a seed; what was computed above that seed is not.
    """
    if name == "numpy" and _made_generators(one) and _entropies(one) != _entropies(other):
        return "unseeded"
    before, after = _digest(left, None, name), _digest(right, None, name)
    if before != after and None not in (before, after):
        return "drawn" if same_seed else "unseeded"
    if name == "torch" and _cuda(left) != _cuda(right):
        return "drawn" if same_seed else "unseeded"
    if name == "numpy" and _entropies(one) != _entropies(other):
        return "before" if same_seed else "unseeded"
    start, again = _table(one, "at_import").get(name), _table(other, "at_import").get(name)
    if start is not None and again is not None and start != again:
        return "before" if same_seed or before is not None else "unseeded"
    return None


def _made_generators(stored: Mapping[str, Any]) -> bool:
    """True when numpy made more generators without a seed than its own."""
    own = str(_table(_table(stored, "at_import"), "numpy").get("entropy"))
    return any(value != own for value in _entropies(stored))


def _is_untouched(stored: Mapping[str, Any], name: str) -> bool:
    """True when nothing was drawn from a generator between the import and the end of the run."""
    ended = _table(stored, "randomness_at_end").get(name)
    if ended is None or (name == "numpy" and _made_generators(stored)):
        return False
    try:
        return bool(RandomState.from_json(_table(stored, "at_import")).digests().get(name) == ended)
    except (KeyError, TypeError, ValueError):
        return False


def _cuda(seeding: Mapping[str, Any]) -> dict[str, Any]:
    digests = _table(seeding, "digests")
    return {str(name): digest for name, digest in digests.items() if str(name).startswith("cuda")}


def _digest(seeding: Mapping[str, Any], stored: Mapping[str, Any] | None, name: str, tag: str = "") -> str | None:
    """The digest of a state where the block was entered; with `before`, what the generator came up with."""
    digest = None if tag == "before" else _table(seeding, "digests").get(name)
    if digest is None and stored is not None:
        start = _table(stored, "at_import").get(name)
        if isinstance(start, Mapping):
            digest = start.get("entropy") or start.get("seed")
    return None if digest is None else str(digest)
