"""Optimizers, schedulers and data loaders as JSON: their settings, not their state.

Runs inside the training process and only reads what the objects hold; no iterator is made, nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .values import class_name, plain

if TYPE_CHECKING:
    from ..rules.engine.records import Json


def describe_optimizer(optimizer: Any) -> dict[str, Json]:
    """Class, defaults and every group's settings; parameters are replaced by their number and their elements."""
    groups: list[Json] = []
    for group in _read(optimizer, "param_groups", ()):
        row = plain({key: value for key, value in group.items() if key != "params"})
        counts: dict[str, Json] = {
            "tensors": len(group.get("params", ())),
            "elements": _elements(group.get("params", ())),
        }
        groups.append({**(row if isinstance(row, dict) else {}), "params": counts})
    return {"class": class_name(optimizer), "defaults": plain(_read(optimizer, "defaults", {})), "groups": groups}


def _elements(parameters: Sequence[Any]) -> Json:
    try:
        return sum(int(parameter.numel()) for parameter in parameters)
    except Exception:
        return None  # a lazy parameter has no size before its first use


_SCHEDULER_STATE = frozenset(
    {"optimizer", "last_epoch", "verbose", "best", "num_bad_epochs", "cooldown_counter", "num_lr_reduced", "mode_worse"}
)


def describe_scheduler(scheduler: Any) -> dict[str, Json]:
    """Class and settings of a learning-rate scheduler, of nested ones too; its running state is left out."""
    found: dict[str, Json] = {"class": class_name(scheduler)}
    for name, value in _attributes(scheduler).items():
        if name == "_schedulers":
            found["schedulers"] = [describe_scheduler(inner) for inner in value]
        elif name == "_milestones":
            found["milestones"] = plain(value)
        elif not name.startswith("_") and name not in _SCHEDULER_STATE:
            found[name] = plain(value, name)
    return found


_LOADER = (
    "batch_size", "num_workers", "drop_last", "pin_memory", "prefetch_factor", "persistent_workers", "timeout",
    "in_order", "worker_init_fn", "collate_fn",
)  # fmt: skip
_SIZED_BY_LIBRARY = ("torch", "torchvision", "torchaudio", "datasets")


def describe_loader(loader: Any) -> dict[str, Json]:
    """Class, batch size, sampler, shuffling, workers, dataset class and length, and the generator's seed if it has one.

    The length is asked only where it is a library's method: a user's `__len__` may read files.
    """
    values = _attributes(loader)
    # DataLoader sets its `_DataLoader__multiprocessing_context` privately; the rest are plain attributes.
    found: dict[str, Json] = {"class": class_name(loader)}
    found.update({name: plain(values[name], name) for name in _LOADER if name in values})
    batch_sampler, sampler = values.get("batch_sampler"), values.get("sampler")
    if found.get("batch_size") is None and batch_sampler is not None:
        found["batch_sampler"] = class_name(batch_sampler)
        found["batch_size"] = plain(_attributes(batch_sampler).get("batch_size"))
        sampler = _attributes(batch_sampler).get("sampler", sampler)
    if sampler is not None:
        found["sampler"] = class_name(sampler)
        found["shuffle"] = _shuffles(sampler)
    dataset = values.get("dataset")
    if dataset is not None:
        found["dataset"] = class_name(dataset)
        found["dataset_length"] = _length(dataset)
    generator = values.get("generator")
    if generator is not None:
        found["generator_seed"] = _seed_of(generator)
    return found


def _shuffles(sampler: Any) -> Json:
    """Whether torch's own samplers shuffle; None for a sampler that is not torch's."""
    kind = type(sampler)
    if kind.__module__.partition(".")[0] != "torch":
        return None
    if kind.__name__ == "DistributedSampler":
        return bool(_attributes(sampler).get("shuffle"))
    return kind.__name__ in ("RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler")


def _length(dataset: Any) -> Json:
    method = getattr(type(dataset), "__len__", None)
    if method is None or str(getattr(method, "__module__", "")).partition(".")[0] not in _SIZED_BY_LIBRARY:
        return None
    try:
        return int(method(dataset))
    except Exception:
        return None


def _seed_of(generator: Any) -> Json:
    try:
        return plain(generator.initial_seed())
    except Exception:
        return None


def _attributes(value: Any) -> dict[str, Any]:
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except Exception:
        return {}


def _read(value: Any, name: str, default: Any) -> Any:
    """An attribute from the instance's own dictionary: no property of a subclass is run."""
    found = _attributes(value).get(name)
    return default if found is None else found
