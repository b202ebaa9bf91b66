"""The data as it comes in: what the loaders give, and what the model is given."""

from __future__ import annotations

import math
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import torch

from ..drilling.drill import Drill, Notes, Skip
from ..drilling.subject import LossFacts, Subject
from ..probes.nested import tensors_in
from ..probes.overlap import Overlap, Samples
from ..rules.engine.records import Json
from .columns import described
from .drawing import draw, left_alone, length_of, order_of, samplers_of, spread_over
from .first_layer import first_layers
from .samples_drawn import SamplesDrawn, is_class, output_of, runs_of
from .worker_randomness import WORKERS, generators_in_workers

_SPREAD = 256
"""Samples from all over a data set that is not shuffled."""

_FEW_LEFT = 0.3
"""Seconds below which a further part is not begun."""


class DataAtTheDoor(Drill):
    """Draws some thousand samples of each split, and describes inputs, labels, order, copies and randomness.

    The fact has `roles` (by path in the loader's batch, that of the model's input with the same form), `given` (inputs
    of the batch, as the model is given them), `first` (layers called first, with the scale of what they are given),
    `output_finite`, `labels` (what the loss compares with), `splits` (what the loaders gave), `as_given` (whether
    samples of the loader are among those the model is given, bit for bit; null where not all could be compared),
    `nonfinite` (samples of the loader with such values), `order`, `overlap`, `conflicts`, `workers`, `capacity` and
    `not_done` (reasons).
    """

    name = "data-at-the-door"
    title = "data at the door"
    seconds = 20.0

    def measure(self, subject: Subject, notes: Notes) -> None:
        self._deadline = time.monotonic() + self.budget
        self._not_done: dict[str, Json] = {}
        given = dict(subject.inputs())
        if not given and not subject.loaders:
            raise Skip("the model is called without tensors, and there are no loaders")
        layers, output = first_layers(subject)
        labels = _labels(subject, output)
        found: dict[str, Json] = {
            "given": {path: described(one) for path, one in list(given.items())[:8]},
            "batch_size": subject.batch_size,
            "first": list(layers),
            "output_finite": None if output is None else _is_finite(output),
            "labels": labels,
            "capacity": {"parameters": sum(one.numel() for one in subject.model.parameters() if one.requires_grad)},
        }
        drawn = self._draw(subject, found)
        troubles = [f"{part}: {reason}" for part, reason in self._not_done.items()]
        notes.fact(**found, not_done=self._not_done, summary="; ".join([*_summary(found, drawn), *troubles]))

    def _draw(self, subject: Subject, found: dict[str, Json]) -> dict[str, SamplesDrawn]:
        loaders = {split: loader for split, loader in subject.loaders.items() if loader is not None}
        drawn: dict[str, SamplesDrawn] = {}
        splits: dict[str, Json] = {}
        for number, (split, loader) in enumerate(loaders.items()):
            with left_alone(loader):
                seen = SamplesDrawn(subject)
                left = self._left() / (len(loaders) - number + 1)
                reason = draw(loader, seen.look, min(5.0, left)) if left > _FEW_LEFT else "no time was left"
                if reason:
                    self._not_done[split] = reason
                if not seen.rows:
                    continue
                drawn[split] = seen
                splits[split] = seen.told() | _settings(loader)
                if split == "train" and self._left() > _FEW_LEFT:
                    found["order"] = self._order(subject, loader, seen)
        found["splits"] = splits
        train = drawn.get("train")
        if train is not None:
            found["roles"] = dict(train.roles.inputs) if train.roles is not None else {}
            found["as_given"] = train.is_as_given(length_of(loaders["train"]))
            found["overlap"] = _overlap(drawn)
            several, differing = train.conflicts()
            found["conflicts"] = {"several": several, "differing": differing, "samples": len(train.prints)}
            found["nonfinite"] = self._nonfinite(subject, train)
        if "train" in loaders and (getattr(loaders["train"], "num_workers", 0) or 0) > 1 and self._left() > 2:
            with left_alone(loaders["train"]):
                told = generators_in_workers(loaders["train"], min(8.0, self._left()))
            if isinstance(told, str):
                self._not_done["workers"] = told
            else:
                found["workers"] = {"seen": WORKERS, "generators": told}
        return drawn

    def _order(self, subject: Subject, loader: Any, seen: SamplesDrawn) -> dict[str, Json]:
        """How labels follow each other, and whether two passes go through the data in one order."""
        classes = seen.classes()
        found: dict[str, Json] = {
            "runs": runs_of(classes),
            "chance": _chance(Counter(classes)),
            "labels": len(classes),
            "batches": len(seen.pure),
            "pure": sum(seen.pure),
        }
        passes = order_of(loader)
        if passes is not None:
            first, second = passes
            found["same_order"] = len(first) > 1 and first == second
            found["ascending"] = len(first) > 1 and all(b == a + 1 for a, b in pairwise(first))
        if (
            "train" in self._not_done
            or not classes
            or found.get("same_order") is False
            or len(classes) >= (length_of(loader) or math.inf)
        ):
            return found
        whole = spread_over(loader, _SPREAD)
        if whole is not None:
            other = SamplesDrawn(subject, _SPREAD)
            reason = draw(whole, other.look, min(3.0, self._left()))
            if not reason and (spread := other.classes()):
                found["spread"] = {str(label): n for label, n in Counter(spread).most_common(1000)}
                found["chance"] = _chance(Counter(spread))
        return found

    def _nonfinite(self, subject: Subject, train: SamplesDrawn) -> dict[str, Json]:
        """What the model makes of samples of the loader that are not finite, where it could be given them."""
        inputs = train.inputs()
        roles = train.roles
        if roles is None:
            return {}
        bad = [
            ~torch.isfinite(one).reshape(len(one), -1).all(1)
            for one in inputs.values()
            if one.is_floating_point() and one.numel()
        ]
        rows = torch.stack(bad).any(0).nonzero().reshape(-1) if bad and len({len(one) for one in bad}) == 1 else None
        if rows is None or not len(rows):
            return {"rows": 0}
        found: dict[str, Json] = {"rows": len(rows), "output_finite": None}
        if not roles.is_complete:
            return found
        batch = {place: inputs[path][rows] for path, place in roles.inputs.items() if path in inputs and place}
        output = output_of(subject, batch)
        return found | {"output_finite": None if output is None else _is_finite(output)}

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def _labels(subject: Subject, output: Any) -> dict[str, Json]:
    """What the loss compares with, and what the loss function allows."""
    facts: LossFacts | None = None
    try:
        facts = subject.loss_facts()
    except Exception as error:  # labels that are no class of the output's end in an error of torch's
        found: dict[str, Json] = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    else:
        found = {}
    targets = facts.targets if facts is not None and facts.targets is not None else subject.targets
    classes = facts.n_classes if facts is not None else None
    ignored = facts.ignored if facts is not None else -100
    if facts is not None:
        found |= {"function": facts.function, "weighted": facts.weights is not None}
    elif "error" in found and isinstance(output, torch.Tensor) and output.dim() == 2:
        classes = output.shape[1] if targets is not None and not targets.is_floating_point() else None
    found |= {"n_classes": classes, "ignored": ignored}
    if targets is None or not targets.numel() or targets.is_complex():
        return found
    found |= {key: value for key, value in described(targets).items() if key in ("dtype", "shape", "nonfinite")}
    whole = not targets.is_floating_point()
    if found.get("nonfinite") and "error" not in found:
        found["loss_finite"] = bool(torch.isfinite(subject.compute().detach()))
    kept = targets[targets != ignored] if whole else targets[torch.isfinite(targets)]
    if kept.numel():
        found |= {"low": kept.min().item(), "high": kept.max().item()}
        if whole and classes is not None:
            found["outside"] = int(((kept < 0) | (kept >= classes)).sum())
    if is_class(targets) and targets.dim():
        counts = Counter(int(one) for one in kept.reshape(-1).tolist())
        found["counts"] = {str(label): n for label, n in counts.most_common(1000)}
    return found


def _settings(loader: Any) -> dict[str, Json]:
    kinds = [type(one).__name__ for one in samplers_of(loader)]
    return {
        "length": length_of(loader),
        "samplers": [str(kind) for kind in kinds],
        "drop_last": bool(getattr(loader, "drop_last", False)),
        "batch_size": size if isinstance(size := getattr(loader, "batch_size", None), int) else None,
        "num_workers": n if isinstance(n := getattr(loader, "num_workers", None), int) else None,
    }


def _overlap(drawn: dict[str, SamplesDrawn]) -> dict[str, Json]:
    overlap = Overlap()
    train = drawn["train"]
    inputs = list(train.inputs().values())
    if inputs:
        overlap.note_kind(max(inputs, key=lambda one: one.numel()))
    overlap.train_on(Samples(train.prints), counts_duplicates=True)
    for split, seen in drawn.items():
        if split != "train" and seen.prints:
            overlap.hold_out(split, Samples(seen.prints))
    return overlap.described()


def _is_finite(output: Any) -> bool:
    tensors = [one for _, one in tensors_in(output) if one.is_floating_point()]
    return all(bool(torch.isfinite(one).all()) for one in tensors)


def _chance(counts: Counter[int]) -> float | None:
    total = sum(counts.values())
    return sum((n / total) ** 2 for n in counts.values()) if total else None


def _summary(found: dict[str, Json], drawn: dict[str, SamplesDrawn]) -> list[str]:
    parts = [", ".join(f"{seen.rows} of {split}" for split, seen in drawn.items()) + " drawn"] if drawn else []
    given = found["given"]
    for path, about in list(given.items())[:1] if isinstance(given, dict) else []:
        if isinstance(about, dict) and isinstance(about.get("std"), float):
            name = "input" if path == "0/0" else f"input {path}"
            parts.append(
                f"{name} {about['low']:.3g} to {about['high']:.3g}, mean {about['mean']:.3g}, "
                f"standard deviation {about['std']:.3g}"
            )
    labels = found["labels"]
    if isinstance(labels, dict) and labels.get("low") is not None:
        classes = labels.get("n_classes")
        of = f" for {classes} classes" if classes is not None else ""
        parts.append(f"labels {labels['low']:.3g} to {labels['high']:.3g}{of}")
    return parts
