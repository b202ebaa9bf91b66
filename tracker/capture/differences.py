"""What differs between two recorded environments, and which of it can change the bits of a result."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..rules.engine.records import Json


HARMLESS = frozenset(
    {
        "pip", "setuptools", "wheel", "uv", "pytest", "pytest-xdist", "ruff", "mypy", "mypy-extensions", "black",
        "isort", "flake8", "pre-commit", "coverage", "ipykernel", "ipython", "jupyter", "notebook", "nbclient", "rich",
        "typer", "click", "tqdm", "mlflow", "mlflow-skinny", "mlflow-tracing", "gitpython", "soundrun", "wandb",
        "tensorboard",
    }
)  # fmt: skip
"""Tools that show, log or check, and touch no tensor."""

_NATIVE = re.compile(r"nvidia-|cuda-|triton|pytorch-triton|mkl|intel-|onemkl|tbb|onednn|openblas")
"""Distributions of libraries that torch and numpy load without a Python import."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: `recorded` then, `current` now, and whether it can change a result's bits."""

    what: str
    recorded: Json
    current: Json
    can_change_bits: bool

    def __str__(self) -> str:
        consequence = "can change bits" if self.can_change_bits else "cannot change bits"
        return f"{self.what}: {_text(self.recorded)} recorded, {_text(self.current)} now ({consequence})"


def environment_differences(recorded: Mapping[str, Json], current: Mapping[str, Json]) -> list[Difference]:
    """Compare two `environment.json` contents; those that can change bits first, then by name.

    A package counts as harmless when it is a known tool, or when neither process had imported it.
    """
    found = [*_processes(recorded, current), *_hardware(recorded, current), *_packages(recorded, current)]
    return sorted(found, key=lambda difference: (not difference.can_change_bits, difference.what))


def _text(value: Json) -> str:
    return "nothing" if value is None else str(value)


def _inside(facts: Json | Mapping[str, Json], *names: str) -> Json:
    value: Json | Mapping[str, Json] = facts
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else value


def _table(facts: Json | Mapping[str, Json], *names: str) -> dict[str, Json]:
    value = _inside(facts, *names)
    return value if isinstance(value, dict) else {}


def _pairs(then: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[tuple[str, Json, Json]]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield name, then.get(name), now.get(name)


_PROCESS: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("python version", ("python", "version"), True),
    ("python implementation", ("python", "implementation"), True),
    ("torch version", ("torch", "version"), True),
    ("torch commit", ("torch", "git"), True),
    ("torch CUDA", ("torch", "cuda"), True),
    ("torch CPU capability", ("torch", "cpu_capability"), True),
    ("cuDNN", ("torch", "cudnn"), True),
    ("NCCL", ("torch", "nccl"), True),
    ("machine", ("platform", "machine"), True),
    ("byte order", ("platform", "byte_order"), True),
    ("numpy version", ("numpy", "version"), True),
    ("kernel release", ("platform", "release"), False),
)
_HARDWARE: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("CPU model", ("cpu", "model"), True),
    ("CPU vector unit", ("cpu", "vector"), True),
    ("CPU cores", ("cpu", "logical_cores"), False),
    ("C library", ("libc",), True),
    ("GPUs", ("gpus",), True),
    ("memory", ("memory_bytes",), False),
    ("distribution", ("distribution",), False),
)


def _processes(recorded: Mapping[str, Json], current: Mapping[str, Json]) -> Iterator[Difference]:
    then, now = _table(recorded, "process"), _table(current, "process")
    for what, path, bits in _PROCESS:
        before, after = _inside(then, *path), _inside(now, *path)
        # Something only one side looked at (cuDNN before CUDA was used) is unknown, not different.
        if before != after and not (what in ("cuDNN", "NCCL", "numpy version") and None in (before, after)):
            yield Difference(what, before, after, bits)
    for name, before, after in _pairs(_table(then, "threads"), _table(now, "threads")):
        yield Difference(f"threads {name}", before, after, name != "affinity")
    for name, before, after in _pairs(_table(then, "switches"), _table(now, "switches")):
        yield Difference(f"switch {name}", before, after, True)
    for name, before, after in _pairs(_table(then, "variables", "values"), _table(now, "variables", "values")):
        yield Difference(f"variable {name}", before, after, not name.startswith("HF_"))
    for name, before, after in _pairs(_table(then, "python", "flags"), _table(now, "python", "flags")):
        yield Difference(f"python flag {name}", before, after, name in ("optimize", "hash_randomization"))


def _hardware(recorded: Mapping[str, Json], current: Mapping[str, Json]) -> Iterator[Difference]:
    then, now = _table(recorded, "hardware"), _table(current, "hardware")
    for what, path, bits in _HARDWARE:
        before, after = _inside(then, *path), _inside(now, *path)
        if before != after:
            yield Difference(what, before, after, bits)


def _rows(facts: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    rows = facts.get("packages")
    return (
        {str(row["name"]): row for row in rows if isinstance(row, dict) and "name" in row}
        if isinstance(rows, list)
        else {}
    )


def _packages(recorded: Mapping[str, Json], current: Mapping[str, Json]) -> Iterator[Difference]:
    then, now = _rows(recorded), _rows(current)
    for name in sorted({*then, *now}):
        before, after = then.get(name, {}), now.get(name, {})
        what = f"package {name}"
        bits = _can_change_bits(name, before, after)
        if before.get("version") != after.get("version"):
            yield Difference(what, before.get("version"), after.get("version"), bits)
        elif not _is_same_build(before, after):
            yield Difference(f"{what} build", _shown(before), _shown(after), bits)


def _identity(row: Mapping[str, Json]) -> str:
    """The build behind a version: origin and wheel contents. An editable install has neither."""
    origin = str(row.get("origin"))
    return "editable" if origin.startswith("editable ") else f"{origin} {row.get('record')}"


def _shown(row: Mapping[str, Json]) -> str:
    """The build for people, with the beginning of its digest."""
    record = row.get("record")
    return _identity({**row, "record": record[:12] if isinstance(record, str) else "of unknown content"})


def _is_same_build(before: Mapping[str, Json], after: Mapping[str, Json]) -> bool:
    """True for the same files, wherever they had been installed from; without a RECORD the origin has to do."""
    one, other = _identity(before), _identity(after)
    records = [row.get("record") for row in (before, after)]
    return one == other or ("editable" not in (one, other) and None not in records and records[0] == records[1])


def is_native(name: str) -> bool:
    """True for a distribution whose libraries torch or numpy load without importing it."""
    return _NATIVE.match(name) is not None


def _can_change_bits(name: str, *rows: Mapping[str, Json]) -> bool:
    if is_native(name):
        return True
    return name not in HARMLESS and any(row.get("imported") is not False for row in rows if row)
