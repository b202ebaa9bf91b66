"""The script's own objects, found among everything that lives in its process: optimizers, loaders, schedulers."""

from __future__ import annotations

import gc
from typing import Any

import torch
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, SequentialSampler

from ...frames import user_frames, variables
from ...journal import JournalReader
from ...probes.optimizers import is_heard
from ...rules.engine.gates import profile_of
from ...rules.engine.replay import replay

_STEPS = tuple(sorted({round(10 ** (power / 20)) for power in range(100)} | {0}))
"""Steps at which a schedule is asked for its rate: about twenty in each power of ten, up to 100,000."""


def alive(kind: type) -> list[Any]:
    """Every object of a class there is. By its type: an object may pretend another class, and run code for it."""
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def optimizers() -> list[Any]:
    """Every optimizer there is; a wrapper that was never set up itself is not."""
    return [one for one in alive(torch.optim.Optimizer) if is_heard(one) and one.param_groups]


def at_full_rate(found: list[Any]) -> list[Any]:
    """The optimizers at the rate that their schedules lead up to: a warm-up begins near 0.

    The rate that it begins at is kept in the group, as `begins_at`.
    """
    peaks = _peaks()
    for optimizer in found:
        for index, group in enumerate(optimizer.param_groups):
            known = group.get("max_lr", group.get("initial_lr"))
            rate = peaks.get((id(optimizer), index), known)
            if isinstance(rate, (int, float)) and isinstance(group.get("lr"), float) and rate > group["lr"]:
                group["begins_at"] = group["lr"]
                group["lr"] = float(rate)
    return found


def _peaks() -> dict[tuple[int, int], float]:
    """The highest rate of each group that a `LambdaLR` scales: there the initial one is only a factor."""
    found: dict[tuple[int, int], float] = {}
    for scheduler in alive(lr_scheduler.LambdaLR):
        for index, (factor, base) in enumerate(zip(scheduler.lr_lambdas, scheduler.base_lrs, strict=False)):
            try:
                found[id(scheduler.optimizer), index] = base * max(float(factor(step)) for step in _STEPS)
            except Exception:  # it is the user's, and may know no such step
                continue
    return found


def freeze_schedulers() -> None:
    """Learning rates are the drills' from here on."""
    for name in dir(lr_scheduler):
        kind = getattr(lr_scheduler, name)
        if isinstance(kind, type) and "step" in vars(kind):
            kind.step = lambda self, *args, **kwargs: None  # type: ignore[attr-defined]


def loaders(frame: Any, trained: int | None) -> dict[str, Any]:
    """The script's loaders by split: that of the training, and others by the names of their variables."""
    named: dict[int, str] = {}
    for at in user_frames(frame):
        for scope in (variables(at), at.f_globals):
            for name, value in list(scope.items()):
                if isinstance(value, DataLoader):
                    named.setdefault(id(value), name.lower())
    found: dict[str, Any] = {}
    # The training's own come first, and of these the ones that shuffle: another may be there to measure the same data.
    for loader in sorted(
        alive(DataLoader), key=lambda one: (id(one.dataset) != trained, isinstance(one.sampler, SequentialSampler))
    ):
        name = named.get(id(loader), "")
        said = next((one for one in ("test", "val", "dev", "train") if one in name), "")
        is_trained = id(loader.dataset) == trained and said in ("", "train")
        # One without such a name, as an attribute has none: what is trained on is shuffled, what is evaluated is not.
        other = "val" if isinstance(loader.sampler, SequentialSampler) else name or "other"
        found.setdefault("train" if is_trained else said or other, loader)
    return found


def profile_of_session(session: Any) -> str:
    """The task profile that the plain steps show."""
    records = [record for _, record in JournalReader(session.rundir.journal).read()]
    trace, _ = replay(records, session.settings, rules=())
    return profile_of(trace)
