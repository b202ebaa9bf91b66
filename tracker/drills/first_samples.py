"""A model and the simple ones on the first samples of the training data, measured on samples that are new to them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional

from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..probes.nested import tensors_in
from ..rules.engine.records import Json
from .drawing import draw, left_alone, length_of
from .samples_drawn import SamplesDrawn, output_of, prints_of
from .yardsticks import BINARY, CLASSES, HIDDEN, RATES, Task, Yardstick, features_of

_STEPS, _LEAST_STEPS = 200, 20
_LATE = 10
"""Steps at the end whose mean loss counts."""

_MOST = 2048
_LEAST_SAMPLES = 128
_MOST_HELD_OUT = 512
_KEPT_BACK = 0.25
"""Share of the training data that stands for held-out data where there is none."""

Loss = Callable[[Any, torch.Tensor], torch.Tensor]


def on_first_samples(subject: Subject, task: Task, seconds: float) -> dict[str, Json] | str:
    """Losses on held-out samples after the same batches: `own`, `linear`, `hidden`, and of a `constant` answer; or why
    there are none. Told as well: `training` (the model's own at the end, on the batches themselves), `steps`,
    `samples`, `unseen`, how many are held out, and `split`, which these are from.
    """
    began = time.monotonic()
    loader = subject.loaders.get("train")
    if loader is None:
        return "there is no loader"
    loss = _loss_of(subject, task)
    if loss is None:
        return "the loss has parts besides what compares the model's output with targets"
    found = _samples(subject, loader, task, 0.2 * seconds)
    if isinstance(found, str):
        return found
    inputs, targets, held_out, split = found
    n = len(targets) - held_out
    whole = replace(task, targets=targets)
    rows = features_of(list(inputs.values()), whole, None)
    order = _batches(n, subject.batch_size or 1)
    with preserved(subject.modules, subject.optimizers, subject.others):
        losses = _train(subject, loss, inputs, targets, order, 0.4 * seconds)
        steps = len(losses)
        if steps < _LEAST_STEPS:
            return f"{steps} steps took {time.monotonic() - began:.1f} s"
        own = _measure(subject, loss, inputs, targets, n)
    told: dict[str, Json] = {
        "steps": steps, "samples": steps * (subject.batch_size or 1), "split": split, "unseen": held_out,
    }  # fmt: skip
    told["training"] = _finite(sum(losses[-_LATE:]) / len(losses[-_LATE:]))
    told |= {"own": _finite(own), "constant": _finite(_constant(whole, n))}
    for name, hidden in (("linear", 0), ("hidden", HIDDEN)):
        told[name] = _finite(_yardstick(whole, rows, order[:steps], n, hidden, 0.15 * seconds))
    return told


def _loss_of(subject: Subject, task: Task) -> Loss | None:
    """The loss as a function of the model's output and targets (N,) or (N, K); None where it is made otherwise."""
    if subject.loss is None or subject.targets is None or subject.targets.shape[:1] != task.targets.shape[:1]:
        return None
    with torch.enable_grad():
        output = subject.output()
        value = float(subject.loss(output).detach())
    for path, one in tensors_in(output, "output"):
        if not one.dim() or len(one) != len(task.targets) or one.numel() != task.width * len(task.targets):
            continue
        for compare in _comparisons(task):
            made = float(compare(one.detach().reshape(len(one), -1), task.targets))
            if math.isclose(made, value, rel_tol=1e-4, abs_tol=1e-6):
                return _at(path, compare)
    return None


def _comparisons(task: Task) -> list[Loss]:
    if task.kind == CLASSES:
        return [functional.cross_entropy, functional.nll_loss]
    if task.kind == BINARY:
        if task.function == "binary_cross_entropy":
            return [lambda given, targets: functional.binary_cross_entropy(given.clamp(0, 1), targets)]
        return [functional.binary_cross_entropy_with_logits]
    return [task.loss]


def _at(path: str, compare: Loss) -> Loss:
    def loss(output: Any, targets: torch.Tensor) -> torch.Tensor:
        given = next(one for at, one in tensors_in(output, "output") if at == path)
        return compare(given.reshape(len(given), -1), targets.to(given.device))

    return loss


def _samples(
    subject: Subject, loader: Any, task: Task, seconds: float
) -> tuple[dict[str, torch.Tensor], torch.Tensor, int, str] | str:
    """(inputs by the model's paths, targets, how many at the end are held out, of which split)."""
    train = _drawn(subject, loader, seconds)
    if train is None or train.is_as_given(length_of(loader)) is not True:
        return "the loader's samples are not those that the model is given: the loop changes them"
    inputs, targets = _rows_of(train, task)
    if targets is None or len(targets) < _LEAST_SAMPLES:
        return f"fewer than {_LEAST_SAMPLES} samples with targets were drawn"
    if not _has_own_targets(subject, train, targets):
        return "the loader's targets are not those that the loss is given: the loop changes them"
    for split in ("val", "test"):
        other = subject.loaders.get(split)
        held = _drawn(subject, other, seconds) if other is not None else None
        if held is None or held.roles is None or train.roles is None or held.roles.inputs != train.roles.inputs:
            continue
        more, labels = _rows_of(held, task)
        if labels is None or any(more[path].shape[1:] != one.shape[1:] for path, one in inputs.items()):
            continue
        m = min(len(labels), _MOST_HELD_OUT)
        return (
            {path: torch.cat([one, more[path][:m]]) for path, one in inputs.items()},
            torch.cat([targets, labels[:m]]),
            m,
            split,
        )
    return inputs, targets, min(int(_KEPT_BACK * len(targets)), _MOST_HELD_OUT), "train, kept back"


def _drawn(subject: Subject, loader: Any, seconds: float) -> SamplesDrawn | None:
    seen = SamplesDrawn(subject, _MOST)
    with left_alone(loader):
        draw(loader, seen.look, seconds)
    return seen if seen.rows and seen.roles is not None and seen.roles.is_complete else None


def _rows_of(seen: SamplesDrawn, task: Task) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    assert seen.roles is not None
    inputs = {str(seen.roles.inputs[path]): one for path, one in seen.inputs().items()}
    n = min((len(one) for one in inputs.values()), default=0)
    if not seen.labels or len({one.shape[1:] for one in seen.labels}) > 1:
        return inputs, None
    targets = torch.cat(seen.labels)[:n]
    if len(targets) < n or targets.numel() != len(targets) * (1 if task.kind == CLASSES else task.width):
        return inputs, None
    targets = targets.reshape(-1) if task.kind == CLASSES else targets.reshape(len(targets), -1).float()
    if task.kind == CLASSES and not _are_classes(targets, task.width):
        return inputs, None
    return {path: one[:n] for path, one in inputs.items()}, targets.to(task.targets.device)


def _are_classes(targets: torch.Tensor, width: int) -> bool:
    return not targets.is_floating_point() and bool(((targets >= 0) & (targets < width)).all())


def _has_own_targets(subject: Subject, train: SamplesDrawn, targets: torch.Tensor) -> bool:
    """Whether samples of the batch have, in the loader, the targets that the loss compares them with."""
    if train.roles is None or subject.targets is None:
        return False
    given = dict(subject.inputs())
    places = {one: at for at, one in enumerate(train.prints[: len(targets)])}
    own = subject.targets.reshape(len(subject.targets), -1).to(targets.device, targets.dtype)
    inputs = [given[place] for place in train.roles.inputs.values() if place in given]
    pairs = [(at, places[one]) for at, one in enumerate(prints_of(inputs, 512)) if one in places]
    return bool(pairs) and all(torch.equal(own[a], targets[b].reshape(-1)) for a, b in pairs)


def _batches(n: int, size: int) -> list[torch.Tensor]:
    """Places of the samples of each batch: pass after pass, each in another order."""
    drawn = torch.Generator().manual_seed(0)
    found: list[torch.Tensor] = []
    while len(found) < _STEPS and n >= size:
        found += list(torch.randperm(n, generator=drawn)[: n - n % size].reshape(-1, size))
    return found[:_STEPS]


def _train(
    subject: Subject, loss: Loss, inputs: dict[str, torch.Tensor], targets: torch.Tensor,
    order: list[torch.Tensor], seconds: float,
) -> list[float]:  # fmt: skip
    losses: list[float] = []
    deadline = time.monotonic() + seconds
    for chosen in order:
        if time.monotonic() > deadline:
            break
        for optimizer in subject.optimizers:
            optimizer.zero_grad()
        output = output_of(subject, {path: one[chosen] for path, one in inputs.items()})
        if output is None:
            break
        with torch.enable_grad():
            value = loss(output, targets[chosen.to(targets.device)])
            value.backward()  # type: ignore[no-untyped-call]
        losses.append(float(value.detach()))
        for optimizer in subject.optimizers:
            optimizer.step()
    return losses


def _measure(subject: Subject, loss: Loss, inputs: dict[str, torch.Tensor], targets: torch.Tensor, n: int) -> float:
    """The loss on the samples from the `n`-th on, in evaluation mode, as far as they fill batches."""
    for module in subject.model.modules():
        module.training = False
    size = subject.batch_size or 1
    values = []
    for start in range(n, max(n + 1, len(targets) - size + 1), size):
        chosen = torch.arange(start, start + size) if start + size <= len(targets) else torch.arange(n, len(targets))
        if len(chosen) < size:
            chosen = chosen[torch.arange(size) % len(chosen)]
        output = output_of(subject, {path: one[chosen] for path, one in inputs.items()})
        if output is None:
            return math.nan
        values.append(float(loss(output, targets[chosen.to(targets.device)]).detach()))
    return sum(values) / len(values) if values else math.nan


def _constant(task: Task, n: int) -> float:
    """Loss on held-out samples of what is the best constant answer for the others."""
    seen, held = task.targets[:n], task.targets[n:]
    if task.kind == CLASSES:
        shares = (torch.bincount(seen, minlength=task.width).double() + 1) / (len(seen) + task.width)
        return float(-shares.log()[held].mean())
    if task.kind == BINARY:
        share = ((seen.double().sum(0) + 1) / (len(seen) + 2)).expand(len(held), -1)
        return float(functional.binary_cross_entropy(share, held.double()))
    middle = seen.mean(0) if task.function == "mse_loss" else seen.median(0).values
    return float(task.loss(middle.expand_as(held), held))


def _yardstick(task: Task, rows: torch.Tensor, order: list[torch.Tensor], n: int, hidden: int, seconds: float) -> float:
    """Held-out loss of a simple model after these batches, with the rate that did best on the last of them."""
    deadline = time.monotonic() + seconds
    best, held_out = math.inf, math.nan
    for rate in RATES:
        model = Yardstick(rows.shape[1], task, hidden, rate)
        losses = []
        for chosen in order:
            at = chosen.to(rows.device)
            with torch.enable_grad():
                losses.append(model.step(rows[at], task.targets[at]))
        last = sum(losses[-_LATE:]) / len(losses[-_LATE:])
        if last < best:
            with torch.no_grad():
                best, held_out = last, float(task.loss(model.predict(rows[n:]), task.targets[n:]))
        if time.monotonic() > deadline:
            break
    return held_out


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
