"""Where two runs were executed: interpreter, packages, threads, switches, variables and machine, as differences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..capture.differences import Difference
from .kinds import Kind, RecordedDifference, shown
from .told import mentions, same_value

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OMP_DYNAMIC",
    "MKL_DYNAMIC",
)
"""Variables that say how many threads compute, the most common one first."""

HASH_SEED = "PYTHONHASHSEED"

_NATIVE = re.compile(
    r"(torch|torchvision|torchaudio|numpy|scipy|nvidia-.*|cuda-.*|triton|pytorch-triton.*|mkl.*|intel-.*|onemkl.*|"
    r"tbb|onednn.*|openblas.*|jax.*|tensorflow.*|xformers|flash-attn|bitsandbytes)\Z"
)
"""Distributions whose kernels compute the numbers."""

_OF_TORCH = ("torch version", "torch commit", "torch CUDA")
_OF_HARDWARE = {
    "CPU model": "cpu",
    "CPU vector unit": "vector-unit",
    "CPU cores": "cores",
    "torch CPU capability": "cpu-capability",
    "C library": "libc",
    "GPUs": "gpus",
    "cuDNN": "cudnn",
    "NCCL": "nccl",
    "machine": "machine",
    "byte order": "byte-order",
    "memory": "memory",
    "distribution": "distribution",
    "kernel release": "kernel",
}


def environment_recorded(found: Sequence[Difference]) -> list[RecordedDifference]:
    """The differences of two environments, each cause once: a package with its build, threads with their variable."""
    threads = _threads(found)
    rows = [*([threads] if threads is not None else []), *_packages(found)]
    taken = {name for row in rows for name in (row.what, *row.repeats)}
    for one in found:
        if one.what in taken or (threads is not None and one.what.startswith("threads ")):
            continue
        if one.what.startswith("variable "):
            name = one.what.removeprefix("variable ")
            if name != HASH_SEED and not (threads is not None and name in THREAD_VARIABLES):
                rows.append(_row(f"variable:{name}", "variable", one))
        elif one.what.startswith("switch "):
            rows.append(_row(f"switch:{one.what.removeprefix('switch ')}", "switch", one))
        elif one.what.startswith("python "):
            rows.append(_row(f"python:{one.what.removeprefix('python ').replace(' ', '-')}", "python", one))
        elif one.what in _OF_HARDWARE:
            rows.append(_row(f"hardware:{_OF_HARDWARE[one.what]}", "hardware", one))
        elif not one.what.startswith("package "):
            rows.append(_row(one.what.replace(" ", ":", 1).replace(" ", "-"), "package", one))
    return [row for row in rows if row.id != f"variable:{HASH_SEED}"]


def _row(name: str, kind: Kind, one: Difference) -> RecordedDifference:
    return RecordedDifference(name, kind, one.what, one.recorded, one.current, can_matter=one.can_change_bits)


def _threads(found: Sequence[Difference]) -> RecordedDifference | None:
    """The number of threads of torch, with the variables that say the same, as one."""
    counts = {one.what.removeprefix("threads "): one for one in found if one.what.startswith("threads ")}
    variables = [one for one in found if one.what.removeprefix("variable ") in THREAD_VARIABLES]
    main = counts.get("torch") or next((one for name, one in counts.items() if name != "affinity"), None)
    if main is None:
        if "affinity" not in counts and not variables:
            return None
        first = variables[0] if variables else counts["affinity"]
        rest = [one for one in (*variables, *counts.values()) if one is not first]
        # The variable alone: torch was told another number, but numpy and its like were not.
        return RecordedDifference(
            "threads", "threads", first.what, first.recorded, first.current,
            repeats=tuple(one.what for one in rest), can_matter=bool(variables), tags=frozenset({"aside"}),
        )  # fmt: skip
    rest = [one for one in (*variables, *counts.values()) if one is not main]
    return RecordedDifference(
        "threads", "threads", "threads", main.recorded, main.current, repeats=tuple(_repeated(one) for one in rest)
    )


def _repeated(one: Difference) -> str:
    return f"{one.what.removeprefix('variable ')} {shown(one.recorded)} against {shown(one.current)}"


def _packages(found: Sequence[Difference]) -> list[RecordedDifference]:
    """Packages; what torch and numpy said of their own version is the package's."""
    rows: dict[str, RecordedDifference] = {}
    own = [one for one in found if one.what in (*_OF_TORCH, "numpy version")]
    for one in found:
        if not one.what.startswith("package "):
            continue
        name = one.what.removeprefix("package ").removesuffix(" build")
        rows[name] = RecordedDifference(
            f"package:{name}", "package", one.what, one.recorded, one.current, can_matter=one.can_change_bits,
            tags=frozenset({"native"} if _NATIVE.match(name) else ()),
        )  # fmt: skip
    for one in own:
        name = one.what.partition(" ")[0]
        known = rows.get(name)
        if known is None:
            rows[name] = RecordedDifference(
                f"package:{name}", "package", one.what, one.recorded, one.current, tags=frozenset({"native"})
            )
        else:
            rows[name] = replace(known, repeats=(*known.repeats, one.what), can_matter=True)
    return list(rows.values())


def fold_surroundings(
    rows: Sequence[RecordedDifference], told: Sequence[RecordedDifference]
) -> tuple[list[RecordedDifference], list[RecordedDifference]]:
    """Says of a changed line or an argument which switches, threads or seeds follow from it; returns both lists."""
    rows, told = list(rows), list(told)
    for place, row in enumerate(rows):
        if row.kind not in ("threads", "switch", "seed") or "hash" in row.tags:
            continue
        if any(name.startswith("OMP_NUM_THREADS") for name in row.repeats):
            continue  # the variable says it all
        found = next((index for index, one in enumerate(told) if _sets(one, row)), None)
        if found is not None:
            told[found] = replace(told[found], sets=(*told[found].sets, f"the {row.short}"))
            rows[place] = replace(row, follows=told[found].id)
    return rows, told


def _sets(one: RecordedDifference, row: RecordedDifference) -> bool:
    """True when a changed line or an argument is what made a seed, a switch or a number of threads different."""
    if not one.can_matter or "unread" in one.topics:
        return False
    if one.hunk is None:
        if row.kind != "seed":
            return False
        return (same_value(one.a, row.a) and same_value(one.b, row.b)) or _is_in_words(one, row)
    if row.kind == "switch":
        text = "\n".join([*one.hunk.removed, *one.hunk.added])
        return re.search(rf"{re.escape(row.id.rpartition('.')[2].removeprefix('switch:'))}", text) is not None
    if row.kind == "threads":
        return "threads" in one.topics
    return "seed" in one.topics or (bool(one.hunk.removed and one.hunk.added) and mentions(one.hunk, row.a, row.b))


def _is_in_words(one: RecordedDifference, row: RecordedDifference) -> bool:
    before, after = str(one.a).split(), str(one.b).split()
    return (row.a is None or str(row.a) in before) and (row.b is None or str(row.b) in after)
