"""Whether what a model says of one sample depends on the others in its batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..drilling.drill import Drill, Notes, Skip
from ..drilling.places import compares_all_with_all, first_place
from ..drilling.samples import Rows, Samples, Shape, evenly, orders, readings, shape_of, spread_of
from ..drilling.subject import Subject
from ..drilling.trials import Trials, floating, rms
from ..rules.engine.records import Json

_KEPT, _EXCHANGED = 4, 6
"""Samples that are kept among others, and that are exchanged among the same."""
_SEEN = 1e-6
"""Of what samples differ by: below it, a change is looked at no further. Float32 tells about 1e-7."""


class BatchMixing(Drill):
    """Keeps one sample, puts others beside it, and looks whether its output stays.

    Where it does not: how the samples that are reached lie, by which layer, and whether gradients flow between them.
    """

    name = "batch-mixing"
    title = "samples independent"
    seconds = 10.0

    def measure(self, subject: Subject, notes: Notes) -> None:
        ends = time.monotonic() + self.budget
        trials = Trials(subject)
        function, compared, targets = trials.compared()
        ways = readings(subject, targets)
        outputs = trials.outputs()
        again = trials.outputs()
        found: list[tuple[float, Samples, Shape, str, Rows]] = []
        for samples in ways:
            shape = shape_of(trials, samples, outputs)
            if shape.paired:
                raise Skip("the outputs compare samples with one another: a number for each two of them")
            judged = _judged(shape.rows, outputs, compared)
            if not judged:
                continue
            share, path, way = _mixed(trials, samples, judged, outputs, ends)
            found.append((share, samples, shape, path, way))
            if share <= _SEEN:
                break
        if not found:
            raise Skip(f"no output has as many rows as the batch has samples ({ways[0].count})")
        # Of two ways to read the batch, one in which nothing mixes is right; the likelier one where both mix.
        share, samples, shape, path, way = found[-1] if found[-1][0] <= _SEEN else found[0]
        noise = _change(outputs[path], again[path], way, samples)
        values: dict[str, Json] = {
            "samples": samples.count,
            "along": samples.along,
            "mixed": _number(share),
            "noise": _number(noise),
            "readings": len(found),
            "resizes": shape.resizes,
            "function": function,
            "per_sample": targets is not None and targets.dim() > 0 and len(targets) % samples.count == 0,
            "output": path,
        }
        if share > max(_SEEN, 10 * noise):
            values |= _cause(trials, samples, outputs[path], path, way)
        said = f"other samples change an output by {share:.2g} of what samples differ by ({samples.count} samples)"
        notes.fact(**values, summary=said)


def _cause(trials: Trials, samples: Samples, output: torch.Tensor, path: str, way: Rows) -> dict[str, Json]:
    """Where the samples come together, and how."""
    fewer = samples.first(samples.count // 2)
    values: dict[str, Json] = {
        "reach": _reach(trials, samples, output, path, way),
        "paired_by": compares_all_with_all(trials, fewer),
        "gradients": _gradients(trials, samples, path, way),
    }
    for keep in reversed(evenly(samples.count, _KEPT)):
        rows = _of_one(samples.count, keep, (keep + 1) % samples.count)
        place = first_place(trials, samples.with_rows(rows), samples.count, torch.tensor([keep]), fewer)
        if place is not None:
            return values | {
                "layer": place.layer,
                "kind": place.kind,
                "before": place.before,
                "after": place.after,
                "given": list(place.given),
                "batch_first": place.batch_first,
                "recurrent": place.is_recurrent,
            }
    return values


def _judged(rows: dict[str, Rows], outputs: dict[str, torch.Tensor], compared: torch.Tensor | None) -> dict[str, Rows]:
    """What the loss compares where that is found among the outputs, else all that have samples."""
    same = {
        path: one for path, one in rows.items() if compared is not None and outputs[path].numel() == compared.numel()
    }
    return same or rows


def _of_one(count: int, keep: int, other: int) -> torch.Tensor:
    """Rows of which one stays, and all others become copies of another."""
    rows = torch.full((count,), other)
    rows[keep] = keep
    return rows


def _mixed(
    trials: Trials, samples: Samples, judged: dict[str, Rows], outputs: dict[str, torch.Tensor], ends: float
) -> tuple[float, str, Rows]:
    """The largest change of a kept sample's output, as a share of what samples differ by, with the output's path and
    the order of its rows.

    Of several outputs of which none is known to be the loss's, the least mixed one counts: statistics of a batch are
    returned too.
    """
    changes: dict[str, list[tuple[float, Rows]]] = {}
    after = []
    for keep in evenly(samples.count, _KEPT):
        found = None
        for step in (1, 2, samples.count // 2):
            try:
                found = trials.outputs(samples.with_rows(_of_one(samples.count, keep, (keep + step) % samples.count)))
            except Exception:  # a batch of equal samples may be none: of equal lengths, of one class
                continue
            if all(path in found and found[path].shape == outputs[path].shape for path in judged):
                break
            found = None
        if found is not None:
            after.append((keep, found))
        if time.monotonic() > ends:
            break
    if not after:
        raise Skip("the model does not take a batch in which samples stand twice")
    for path, rows in judged.items():
        for way in orders(rows, samples, False):
            ours = way.of(outputs[path], samples.count)
            spread = spread_of(ours)
            if torch.equal(ours, ours[:1].expand_as(ours)) or spread == float("inf"):
                continue
            share = max(rms(way.of(found[path], samples.count)[keep] - ours[keep]) / spread for keep, found in after)
            changes.setdefault(path, []).append((share, way))
    if not changes:
        raise Skip("the outputs are the same for all samples, or not finite")
    best = {path: min(found, key=lambda one: one[0]) for path, found in changes.items()}
    path = min(best, key=lambda one: best[one][0])
    return best[path][0], path, best[path][1]


def _change(ours: torch.Tensor, theirs: torch.Tensor, rows: Rows, samples: Samples) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    one, other = rows.of(ours, samples.count), rows.of(theirs, samples.count)
    return rms(one - other) / (spread_of(one) or 1.0)


def _reach(trials: Trials, samples: Samples, output: torch.Tensor, path: str, way: Rows) -> str:
    """Which outputs a sample reaches: `all`, `later` or `earlier` ones, `near` ones, or `scattered`; empty where it is
    not known."""
    count = samples.count
    ours = way.of(output, count)
    spread = spread_of(ours)
    shares, earlier, later, own = [], 0, 0, True
    back: set[int] = set()
    ahead: set[int] = set()
    for index in evenly(count, _EXCHANGED):
        rows = torch.arange(count)
        rows[index] = (index + max(1, count // 2)) % count
        try:
            theirs = way.of(trials.outputs(samples.with_rows(rows))[path], count)
        except Exception:
            return ""
        if theirs.shape != ours.shape:
            return ""
        moved = ((theirs - ours).double().pow(2).mean(1).sqrt() > _SEEN * spread).nonzero().flatten().tolist()
        others = [one for one in moved if one != index]
        shares.append(len(others) / (count - 1))
        earlier += sum(one < index for one in others)
        later += sum(one > index for one in others)
        own = own and index in moved
        # A kernel reaches as far for each sample, but where the batch begins and ends.
        first, last = min([*moved, index]), max([*moved, index])
        back |= {index - first} if first > 0 else set()
        ahead |= {last - index} if last < count - 1 else set()
    if not own:
        return "scattered"
    if not earlier or not later:
        return "later" if not earlier else "earlier"
    if len(back) <= 1 and len(ahead) <= 1 and max(shares) <= 0.5:
        return "near"
    return "all" if sum(shares) / len(shares) >= 0.5 else "scattered"


def _gradients(trials: Trials, samples: Samples, path: str, way: Rows) -> int | None:
    """How many other samples the output of one has a gradient for; None where it cannot be asked."""
    try:
        with trials.fresh(), torch.enable_grad(), _sources(trials, samples) as (changed, sources):
            output = floating(trials.call(changed))[path]
            generator = torch.Generator().manual_seed(0)
            most: int | None = None
            for index in evenly(samples.count, 3):
                row = way.of(output, samples.count)[index]
                weights = torch.randn(row.shape, generator=generator).to(row)
                given = [one for one, _ in sources]
                found = torch.autograd.grad(row, given, weights, retain_graph=True, allow_unused=True)
                reached = torch.zeros(samples.count, dtype=torch.bool)
                for gradient, (_, dim) in zip(found, sources, strict=True):
                    if gradient is not None:
                        values = gradient.movedim(dim, 0).reshape(samples.count, -1).abs().amax(1)
                        reached |= (values > 0).cpu()
                reached[index] = False
                most = max(most or 0, int(reached.sum()))
            return most
    except Exception:
        return None


@contextmanager
def _sources(
    trials: Trials, samples: Samples
) -> Iterator[tuple[dict[int, torch.Tensor], list[tuple[torch.Tensor, int]]]]:
    """Inputs, and outputs of embeddings, that gradients can be asked for, each with the dimension of its samples."""
    changed: dict[int, torch.Tensor] = {}
    sources: list[tuple[torch.Tensor, int]] = []
    for _, tensor, dim in samples.inputs:
        if tensor.is_floating_point():
            leaf = tensor.detach().clone().requires_grad_(True)
            changed[id(tensor)] = leaf
            sources.append((leaf, dim))

    def embedded(module: torch.nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.requires_grad:
            dims = [dim for dim in (samples.along, 0, 1) if dim < output.dim() and output.shape[dim] == samples.count]
            if dims:
                sources.append((output, dims[0]))

    handles = [
        module.register_forward_hook(embedded)
        for module in trials.subject.model.modules()
        if isinstance(module, (torch.nn.Embedding, torch.nn.EmbeddingBag))
    ]
    try:
        yield changed, sources
    finally:
        for handle in handles:
            handle.remove()


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if value < float("inf") else None
