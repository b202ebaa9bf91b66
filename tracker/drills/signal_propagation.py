"""What becomes of the signal on its way through the untouched model, and of the gradient on its way back."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..rules.engine.records import Json
from .dropout import without_dropout
from .layers_seen import Layer, Pass, depth_of, number, seeing, spread_of
from .symmetry import same_units

MOST_LAYERS = 200
_TABLES = (torch.nn.Embedding, torch.nn.EmbeddingBag)
"""Modules whose rows are no units: those that a batch does not name stay alike."""

STEPS = 3
"""Steps of the training behind the first look: what begins at zero on purpose has left it by then."""

_NO_GRAPH = ("does not require grad", "does not have a grad_fn", "the loss has no gradient")
"""What torch, and a loop of ours, say of a loss that hangs on no parameter."""


class SignalPropagation(Drill):
    """Watches one iteration of the training on the untouched model, and another one after three steps.

    The fact::

        {"layers": [{"name", "class", "weighted", "rms", "spread", "input_spread", "gradient", "dead", "saturated",
                     "units", "samples", "hidden"}],
         "depth": {"layers": hidden ones with weights and a gradient, "factor": what the gradient is multiplied with
                   from one to the one before, "first" and "last": its norms there}, or None,
         "later": {"layers": ..., "depth": ...} after the steps, or None,
         "input_spread": of what the model is given, or None, "loss": the first,
         "parameters", "matrices": how many are trained, "reached", "unreached": [names], "n_unreached",
         "uncalled": how many of those belong to a layer that was not called,
         "zero": {"share": of the elements of weight matrices whose gradient is 0, "later": after the steps,
                  "names": [...]},
         "same_units": see `symmetry`,
         "cut": {"names": [...], "change": of the loss when they are changed}, or None}

    `gradient` is a norm, `spread` what samples differ by (see `layers_seen`). `cut` names parameters without a gradient
    that the loss depends on all the same, of an optimizer that has others which do have one.
    """

    name = "signal-propagation"
    title = "signal at the start"
    in_loop = True
    seconds = 20.0

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        model = subject.model
        names = {name: one for name, one in model.named_parameters() if one.requires_grad}
        if not names:
            raise Skip("the model has no parameter that is trained")
        if any(is_lazy(one) for one in (*model.parameters(), *model.buffers())):
            raise Skip("the model has lazy layers: call it once with a batch, so that their shapes are known")
        if _is_compiled(model):
            raise Skip("the model is compiled: what passes through its layers cannot be watched")
        began = time.monotonic()
        later, reached = None, set[str]()
        with preserved([model], subject.optimizers):
            without_dropout(model)
            before = {name: one.detach().clone() for name, one in names.items() if one.dim() > 1}
            try:
                with seeing(model) as first:
                    loss = yield
            except Exception as error:
                if first.reached or not any(words in str(error) for words in _NO_GRAPH):
                    if isinstance(error, Skip):
                        raise
                    raise Skip(f"no step could be made: {type(error).__name__}: {error}"[:300]) from None
                notes.fact(**_described(names, first, None, reached), loss=None, summary="the loss reaches nothing")
                return
            reached |= first.reached
            if (time.monotonic() - began) * (1 + STEPS) < self.budget:
                for _ in range(STEPS):
                    with seeing(model) as later:
                        yield
                    reached |= later.reached
            tables = {f"{name}.weight" for name, one in model.named_modules() if isinstance(one, _TABLES)}
            alike = same_units({k: v for k, v in before.items() if k not in tables}, names, first.gradients)
        if not first.called and not reached:
            raise Skip("the training loop did not call this model: another one, or a copy of it, is trained")
        unreached = [name for name in names if name not in reached]
        cut = None
        if unreached and reached and later is not None:
            cut = yield from _change_of(subject, names, unreached, reached)
        told = _described(names, first, later, reached)
        entering = [
            found for _, one in subject.inputs() if one.is_floating_point() for found in [spread_of(one.float())]
        ]
        spreads = [found for found in map(number, entering) if found is not None]
        notes.fact(
            **told,
            loss=number(loss),
            input_spread=max(spreads, default=None),
            same_units=alike,
            cut=cut,
            summary=_summary(told),
        )


def _described(
    names: Mapping[str, torch.nn.Parameter], first: Pass, later: Pass | None, reached: set[str]
) -> dict[str, Json]:
    unreached = [name for name in names if name not in reached]
    matrices = {name: one.numel() for name, one in names.items() if one.dim() > 1}
    zero = _zero(first, matrices)
    layers = _rows(first)
    return {
        "layers": layers,
        "depth": depth_of(first),
        "later": {"layers": _rows(later), "depth": depth_of(later)} if later is not None else None,
        "parameters": len(names),
        "matrices": len(matrices),
        "reached": len(reached & set(names)),
        "unreached": list(unreached[:MOST_LAYERS]),
        "n_unreached": len(unreached),
        "uncalled": sum(name.rpartition(".")[0] not in first.called for name in unreached),
        "zero": {
            "share": _share(zero, matrices),
            "later": _share(_zero(later, matrices), matrices) if later is not None else None,
            "names": list(zero[:20]),
        },
    }


def _zero(seen: Pass, matrices: Mapping[str, int]) -> list[str]:
    """The weight matrices whose gradient is there, and 0 throughout."""
    return [name for name in matrices if name in seen.gradients and not bool(seen.gradients[name].any())]


def _share(names: list[str], matrices: Mapping[str, int]) -> float:
    return sum(matrices[name] for name in names) / max(1, sum(matrices.values()))


def _rows(seen: Pass) -> list[Json]:
    layers = seen.layers
    last = max((place for place, layer in enumerate(layers) if layer.is_weighted), default=-1)
    chosen = range(len(layers))
    if len(layers) > MOST_LAYERS:
        stride = (len(layers) - 1) / (MOST_LAYERS - 1)
        chosen = sorted({round(index * stride) for index in range(MOST_LAYERS)})  # type: ignore[assignment]
    return [_row(layers[place], place < last) for place in chosen]


def _row(layer: Layer, is_hidden: bool) -> Json:
    return {
        "name": layer.name,
        "class": layer.kind,
        "weighted": layer.is_weighted,
        "hidden": is_hidden,
        "rms": number(layer.rms),
        "spread": number(layer.spread),
        "input_spread": number(layer.input_spread),
        "gradient": number(layer.gradient),
        "dead": number(layer.dead),
        "saturated": number(layer.saturated),
        "units": layer.units,
        "samples": layer.samples,
    }


def _change_of(
    subject: Subject, names: Mapping[str, torch.nn.Parameter], unreached: list[str], reached: set[str]
) -> Generator[None, float, dict[str, Json] | None]:
    """What the loss changes by when parameters are changed that no gradient reaches; None where nobody trains them."""
    owned: set[int] = set()
    for optimizer in subject.optimizers:
        own = {id(one) for group in optimizer.param_groups for one in group["params"]}
        if any(id(names[name]) in own for name in reached if name in names):
            owned |= own
    chosen = [name for name in unreached if id(names[name]) in owned and names[name].dim() > 1]
    if not chosen or all(_has_twin(name, names, reached) for name in chosen):
        return None
    losses: list[float] = []
    generator = torch.Generator().manual_seed(0)
    for is_changed in (False, False, True):
        with preserved(subject.modules, subject.optimizers, subject.others):
            if is_changed:
                with torch.no_grad():
                    for name in chosen:
                        noise = torch.randn(names[name].shape, generator=generator).to(names[name])
                        names[name].add_(noise * (names[name].float().square().mean().sqrt() + 0.1).to(noise.dtype))
            losses.append((yield))
    if losses[0] != losses[1]:
        return None  # the loop draws from what cannot be put back: a change says nothing
    change = abs(losses[2] - losses[0])
    return {"names": list(chosen[:20]), "change": number(change), "n": len(chosen)} if change > 0 else None


def _has_twin(name: str, names: Mapping[str, torch.nn.Parameter], reached: set[str]) -> bool:
    """Whether a part of another name has the same weight: `target.fc.weight` beside `online.fc.weight`.

    A target network, or a teacher, is meant to get no gradient. Layers that differ by a number are no twins.
    """
    parts = name.split(".")
    for other in reached:
        if other not in names or names[other].shape != names[name].shape:
            continue
        differing = [(a, b) for a, b in zip(parts, other.split("."), strict=False) if a != b]
        if len(other.split(".")) == len(parts) and len(differing) == 1:
            one, two = (part.rstrip("0123456789") for part in differing[0])
            if one and two and one != two:
                return True
    return False


def _is_compiled(model: torch.nn.Module) -> bool:
    return any(
        type(module).__name__ == "OptimizedModule" or module.__dict__.get("_compiled_call_impl") is not None
        for module in model.modules()
    )


def _summary(told: Mapping[str, Any]) -> str:
    rows = [row for row in told["layers"] if row["weighted"]]
    said = [f"{len(rows)} layers with weights"]
    spreads = [row["spread"] for row in rows if row["spread"] is not None]
    gradients = [row["gradient"] for row in rows if row["gradient"] is not None]
    if len(spreads) > 1:
        said.append(f"samples differ by {spreads[0]:.3g} behind the first and {spreads[-1]:.3g} behind the last")
    if len(gradients) > 1:
        said.append(f"gradient {gradients[0]:.3g} at the first and {gradients[-1]:.3g} at the last")
    dead = [row["dead"] for row in told["layers"] if row["dead"] is not None]
    if dead:
        said.append(f"at most {max(dead):.0%} of the units of a layer dead")
    if told["n_unreached"]:
        said.append(f"{told['n_unreached']} of {told['parameters']} parameters without a gradient")
    return "; ".join(said)
