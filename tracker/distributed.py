"""Several processes that train together: which of them this one is, and where each finds the others.

Rank 0's run is the run. Every other rank is a *member*: it observes and keeps its journal in a folder of its own, which
the sidecar of rank 0 finds by the key of the group. Nobody waits for anybody, and nothing is sent through the process
group of the training. ::

    <home>/groups/<key>/
      leader-<id>.json    who rank 0 is, and after which epoch all are to stop
      <rank>-<id>/        a member: spec.json, journal.bin, alive.lock, process.json as in the folder of a run, and
      <rank>-<id>/account.json    what rank 0 has to know before it is judged

The key is made of what the ranks meet by: address and port of the rendezvous, the id and the attempt of torchelastic,
and the number of the tracked block in its process. The next training may meet at the same port: which members belong to
a run is told by the time they lived in, as ranks that train together live together.

A restart by torchelastic (`--max-restarts`) is a run of its own, tagged with its attempt: its processes are new ones,
its steps begin again, usually at a checkpoint, and a merged curve would run backwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .rundir import JOURNAL, PROCESS, RunDir, bases, read_json, write_json

LEADER = "leader-*.json"
ACCOUNT = "account.json"
TAKEN = "taken.json"
"""In the folder of a member that lives on after rank 0's run was closed: which run has a copy of its journal."""

SLACK = 2.0
"""Seconds by which the last sign of a killed process may be too early: what it writes into its journal is no change of
the file to every file system."""

_SCHEDULERS = (
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
)
"""Rank, world size and local rank, as those set them that start processes but do not make them train together."""


@dataclass(frozen=True)
class Place:
    """One process among those that train together; alone when `world_size` is 1."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    attempt: int = 0
    """How often torchelastic has restarted the processes before."""
    key: str = ""
    """What all ranks of one training share, and nobody else on this machine; empty when alone."""

    @property
    def is_alone(self) -> bool:
        """True for a training of one process."""
        return self.world_size < 2

    @property
    def is_member(self) -> bool:
        """True for a rank that is part of rank 0's run."""
        return self.world_size > 1 and self.rank > 0

    def folder(self, run_id: str) -> str:
        """The folder of run `run_id` at this place, below home."""
        return f"groups/{self.key}/{self.rank}-{run_id}" if self.is_member else f"runs/{run_id}"

    def as_json(self) -> dict[str, Any]:
        """The form in which it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> Place:
        """The place as stored; that of a process on its own for anything else."""
        try:
            return cls(**content) if isinstance(content, Mapping) else cls()
        except TypeError:
            return cls()


def place(index: int = 0) -> Place:
    """The place of this process: told by torch.distributed where that is initialised, else by the environment.

    `index` is the number of the tracked block in this process. Imports nothing, and asks no other process.
    """
    attempt = _number("TORCHELASTIC_RESTART_COUNT") or 0
    rank, world_size, local_rank = _from_torch() or _from_environment() or (0, 1, None)
    if world_size < 2 or not 0 <= rank < world_size:
        return Place(attempt=attempt)
    words = [_rendezvous(), os.environ.get("TORCHELASTIC_RUN_ID", ""), str(attempt), str(index)]
    key = hashlib.blake2b("\0".join(words).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return Place(rank, world_size, rank if local_rank is None else local_rank, attempt, key)


def _number(name: str) -> int | None:
    with contextlib.suppress(ValueError):
        return int(os.environ[name]) if name in os.environ else None
    return None


def _from_torch() -> tuple[int, int, int | None] | None:
    dist = _initialised()
    if dist is None:
        return None
    return int(dist.get_rank()), int(dist.get_world_size()), _number("LOCAL_RANK")


def _initialised() -> Any:
    """torch.distributed with a default process group, or None."""
    dist: Any = sys.modules.get("torch.distributed")
    # Not every build of torch has it, and a module that is being imported has no functions yet.
    is_there = dist is not None and getattr(dist, "is_available", bool)() and getattr(dist, "is_initialized", bool)()
    return dist if is_there else None


def _from_environment() -> tuple[int, int, int | None] | None:
    # Without a rendezvous, a rank and a number of processes do not say that they train together: a scheduler starts
    # ten independent trainings with the same variables. If these do, torch.distributed tells at the first step.
    if "MASTER_PORT" not in os.environ:
        return None
    for names in (("RANK", "WORLD_SIZE", "LOCAL_RANK"), *_SCHEDULERS):
        rank, world_size = _number(names[0]), _number(names[1])
        if rank is not None and world_size is not None:
            return rank, world_size, _number(names[2])
    return None


def _rendezvous() -> str:
    """Where the ranks meet: by the environment, else by the store of torch.distributed, else by their parent."""
    if "MASTER_PORT" in os.environ:
        return f"{os.environ.get('MASTER_ADDR', '')}:{os.environ['MASTER_PORT']}"
    with contextlib.suppress(Exception):  # private to torch: without it the parent must do
        store = _initialised().distributed_c10d._get_default_store()
        while hasattr(store, "underlying_store"):
            store = store.underlying_store
        return f"{store.host}:{store.port}" if hasattr(store, "port") else str(store.path)
    return launch()


def launch() -> str:
    """The process that started this one, with its starting time where that is known: numbers of processes come again.

    Ranks on one machine have the same as a rule.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{parent}/stat").read_text()
        return f"{parent}@{stat.rpartition(')')[2].split()[19]}"
    return str(parent)


def command_line() -> list[str]:
    """The words this process was started with; for a child of multiprocessing, those of the script that made it."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    parent = multiprocessing.parent_process() if multiprocessing is not None else None
    if parent is not None:
        return _words(parent.pid) or list(sys.orig_argv)
    return list(sys.orig_argv)


def node() -> int:
    """The number of this machine among those that train together, 0 for the one with rank 0, as far as that is told."""
    found = (_number(name) for name in ("GROUP_RANK", "SLURM_NODEID"))
    return next((number for number in found if number is not None), 0)


def launcher() -> list[str]:
    """The words of the process that started this one: `torchrun ...`; empty where they cannot be read."""
    return _words(os.getppid())


def _words(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")] if raw else []


# -- who is where ------------------------------------------------------------------------------------------------------


def group_folders(key: str) -> list[Path]:
    """The folders in which ranks with this key leave word."""
    return [base / "groups" / key for base in bases()] if key else []


def announce(rundir: RunDir, place: Place, **more: Any) -> None:
    """Says where rank 0's run is; again with `more` to say more. Raises `OSError` when that cannot be written."""
    spec = rundir.spec
    folder = rundir.path.parent.parent / "groups" / place.key
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = {"id": spec["id"], "path": str(rundir.path), "started": spec["started"]}
    write_json(folder / LEADER.replace("*", str(spec["id"])), {**content, **more})


def leader_of(place: Place) -> dict[str, Any] | None:
    """What rank 0 says of itself, while it lives; None before it has, and on a machine that does not share its home."""
    found = [read_json(file) for folder in group_folders(place.key) for file in folder.glob(LEADER)]
    alive = [said for said in found if said.get("path") and RunDir(Path(said["path"])).is_alive()]
    return max(alive, key=lambda said: float(said.get("started") or 0), default=None)


def join_late(rundir: RunDir, place: Place) -> None:
    """A run that turned out to be a member while it went on: stays where it is, and is found from the group's folder.

    Raises `OSError` when that cannot be written.
    """
    link = rundir.path.parent.parent / place.folder(rundir.path.name)
    link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    link.symlink_to(rundir.path)


def members_of(place: Place, started: float, ended: float, launched: str = "") -> dict[int, RunDir]:
    """The members of the run that rank 0 at `place` began at `started` and ended at `ended` (Unix seconds), by rank.

    A member has lived at the same time as the run. Of several, that with the same parent process is taken, then the one
    that began at nearly the same moment. Not to be asked by a member.
    """
    found: dict[int, tuple[tuple[bool, float], RunDir]] = {}
    for rank, member in _seats(group_folders(place.key)):
        spec = member.spec
        began = float(spec.get("started") or 0)
        if not 0 < rank < place.world_size or began > ended + SLACK or lived_until(member) < started - SLACK:
            continue
        worth = (bool(launched) and spec.get("launch") == launched, -abs(began - started))
        if rank not in found or worth > found[rank][0]:
            found[rank] = (worth, member)
    return {rank: member for rank, (_, member) in sorted(found.items())}


def left_behind() -> list[RunDir]:
    """The members on this machine whose processes have ended, and whose run has not taken them over."""
    seats = _seats(folder for base in bases() for folder in (base / "groups").glob("*"))
    return [member for _, member in seats if not member.path.is_symlink() and not member.is_alive()]


def run_of(member: RunDir) -> RunDir | None:
    """The run of rank 0 that a member belongs to, if it is in the same home."""
    spec = member.spec
    place = Place.from_json(spec.get("place"))
    for run in RunDir.all():
        leader = run.spec
        theirs = Place.from_json(leader.get("place"))
        started, launched = float(leader.get("started") or 0), str(leader.get("launch") or "")
        if place.key and theirs.key == place.key and not theirs.is_member:
            found = members_of(theirs, started, lived_until(run), launched).get(place.rank)
            if found is not None and found.path == member.path:
                return run
    return None


def promote(member: RunDir) -> RunDir:
    """Makes a run of its own of a member whose rank 0 was not tracked; raises `OSError` when that cannot be written."""
    spec = member.spec
    rank = str(Place.from_json(spec.get("place")).rank)
    named = {"name": f"{spec.get('name')} (rank {rank})", "tags": {**(spec.get("tags") or {}), "rank": rank}}
    member.write_json("spec.json", {**spec, **named, "orphan": True})
    path = member.path.parents[2] / "runs" / str(spec["id"])
    path.parent.mkdir(exist_ok=True)
    member.path.rename(path)
    with contextlib.suppress(OSError):  # other ranks are in it
        member.path.parent.rmdir()
    return RunDir(path)


def _seats(folders: Iterable[Path]) -> Iterable[tuple[int, RunDir]]:
    for folder in folders:
        for path in folder.glob("*-*/spec.json"):
            rank = path.parent.name.partition("-")[0]
            if rank.isdecimal():
                yield int(rank), RunDir(path.parent)


def lived_until(rundir: RunDir) -> float:
    """When the process of a run or a member was last seen alive (Unix seconds); infinite while it lives."""
    if rundir.is_alive():
        return math.inf
    latest = 0.0
    for name in (JOURNAL, PROCESS, ACCOUNT):
        with contextlib.suppress(OSError):
            latest = max(latest, (rundir.path / name).stat().st_mtime)
    return latest


def forget(place: Place, run_id: str) -> None:
    """Takes back what rank 0 has announced, and the folder of the group once it is empty."""
    for folder in group_folders(place.key):
        (folder / LEADER.replace("*", run_id)).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another run's ranks are still in it
            folder.rmdir()
