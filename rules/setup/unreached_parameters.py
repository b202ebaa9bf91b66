"""A graph that is cut in the middle of the model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import is_trained_already
from ..engine.profiles import EVERY
from ..engine.progress import is_over
from ..engine.records import Json
from ..engine.tables import number, shape, table, texts

_NUMBERED = re.compile(r"(.*[A-Za-z_])(\d+)")
"""A part with a number at the end of its own name."""

_PARALLEL = re.compile(r"expert|head|branch|member|task|adapter|tower|option|ensemble|codebook|exit|domain|aux", re.I)
"""Lists whose items stand side by side, and may wait to be chosen."""


class UnreachedParameters(Rule):
    """Layers are called and owned by an optimizer, but no loss reaches them: the graph ends behind them.

    Either their result hangs on no graph (`no_grad`), or a later layer that is trained was given a tensor that hangs on
    none (`detach`, `.data`, numpy, a sampled index), or the loss has a term that is a mere number (`item`), or what is
    cut off is most of the model. At the end of a run two more are told: parts that were called with gradients switched
    off only, and the later layers of a stack of which the first alone are called. Other parts that nothing calls, and
    outputs that nothing uses, are told as `unused-parameters`.

    ## Why it matters
    These layers stay as they were initialised: what stands behind the cut learns on random features.

    ## What to try
    - Look for `detach()`, `.data`, `.item()`, `.numpy()`, `torch.tensor(...)` or `no_grad` between the layer and the
      loss.
    - Replace operations without a gradient (argmax, round, comparisons) by ones that have one.
    - If the part is to be frozen, set `requires_grad_(False)` and leave it out of the optimizer.

    ## When it is wrong
    Parts that are trained by a loss of their own later in the run are named until then.

    ## References
    - TrainCheck (Jiang et al. 2025): `.data` and `detach` in the forward pass among reproduced silent errors.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "unused-parameters", "learning-rate-too-low", "step-does-nothing")

    min_steps: PositiveInt = 5
    """Steps before anything is said: alternating losses reach their parts in turn."""

    min_siblings: PositiveInt = 2
    """Called parts of the same name but for its number (`block1`, `block2`) from which on one that nothing calls
    (`block3`) is taken to be forgotten: a second head that waits for its task has but one."""

    min_passes: PositiveInt = 50
    """Steps of a run that is over, from which on a part that was used in none of them was not chosen by chance."""

    min_share: float = Field(0.3, gt=0, le=1)
    """Share of the trained elements in layers of a stack that nothing calls, from which on they are missed."""

    ratio: float = Field(0.5, gt=0, le=1)
    """Share of the trained elements beyond which what is called but not reached counts, wherever the cut may be."""

    healthy = {
        "lr": [1e-3] * 20,
        "facts": {
            "graph": {"reached": 4, "unreached": ["aux.weight"], "n_unreached": 1, "cut": "part"},
            "parameters": {
                "a.weight": {"shape": [8, 8]},
                "b.weight": {"shape": [8, 8]},
                "aux.weight": {"shape": [4, 8]},
            },
            "model": {
                "": {
                    "calls": {
                        "a": {"at": 1, "bare": True, "graphed": True},
                        "b": {"at": 2, "bare": False, "graphed": True},
                        "aux": {"at": 3, "bare": False, "graphed": True},
                    }
                }
            },
        },
    }
    faulty = {
        "lr": [1e-3] * 20,
        "facts": {
            "graph": {"reached": 2, "unreached": ["a.weight", "a.bias"], "n_unreached": 2, "cut": "part"},
            "parameters": {"a.weight": {"shape": [8, 8]}, "a.bias": {"shape": [8]}, "b.weight": {"shape": [8, 8]}},
            "model": {
                "": {
                    "calls": {
                        "a": {"at": 1, "bare": True, "graphed": True},
                        "b": {"at": 2, "bare": True, "graphed": True},
                    }
                }
            },
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        if not number(graph.get("reached")):
            raise NotApplicable("what the loss reaches was not seen, or it reaches nothing")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        calls, uncalled = _calls(trace)
        for part, siblings in _forgotten(uncalled, calls):
            mine = [name for name in texts(graph.get("unreached")) if name.startswith(part + ".")]
            if len(siblings) >= self.min_siblings and mine:
                yield Finding(
                    subject=part,
                    message=f"{part} is trained and never called, and no loss reaches its {len(mine)} parameters; "
                    f"{len(siblings)} parts of the same name are called: {', '.join(siblings[:3])}",
                    advice=(f"Call {part} in forward, behind {siblings[-1]}.", f"Or take {part} out of the model."),
                    evidence={"n_unreached": len(mine), "n_siblings": len(siblings)},
                )
        yield from self._ends_early(trace, calls, uncalled)
        names = [
            name
            for name in texts(graph.get("unreached"))
            if not any(name.startswith(part + ".") for part in uncalled if part)
        ]
        if not names:
            return
        without = [part for part in texts(graph.get("ungraphed")) if any(name.startswith(part + ".") for name in names)]
        if without and is_over(trace) and trace.step >= self.min_passes and not is_trained_already(trace):
            mine = [name for name in names if any(name.startswith(part + ".") for part in without)]
            yield Finding(
                subject=without[0],
                message=f"{without[0]} is called with gradients switched off and never with them: no loss reaches its "
                f"{len(mine)} parameters, which an optimizer owns",
                advice=(
                    f"Call {without[0]} in each training step, outside of no_grad; do not keep what it gave.",
                    "If it is to be frozen, set requires_grad_(False) and leave it out of the optimizer.",
                ),
                evidence={"n_unreached": len(mine)},
            )
            return

        where = _cut(names, calls) or _number(names, calls, table(trace.facts.get("addend")))
        sizes = _sizes(trace)
        lost = sum(sizes.get(name, 0) for name in names)
        share = lost / max(1, sum(sizes.values()))
        if where is None and (share < self.ratio or not any(_layer(name) in calls for name in names)):
            return
        n = max(len(names), int(number(graph.get("n_unreached")) or 0) if not uncalled else 0)
        yield Finding(
            subject=_layer(names[0]) or names[0],
            message=f"no loss reaches {n} trained parameters, {', '.join(names[:3])}{' ...' if n > 3 else ''} "
            f"({share:.0%} of the elements){where or ''}; all {len(sizes)} were expected to get a gradient",
            advice=(
                "Look for detach(), item(), .data, numpy(), torch.tensor() or no_grad from these layers to the loss.",
                "Replace operations without a gradient (argmax, round, comparisons) on the way.",
                "If they are to be frozen, set requires_grad_(False) and leave them out of the optimizer.",
            ),
            evidence={"n_unreached": n, "share": share},
        )

    def _ends_early(
        self, trace: Trace, calls: Mapping[str, Mapping[str, Json]], uncalled: Sequence[str]
    ) -> Iterator[Finding]:
        """A stack of layers of which only the first ones are called: `return` inside of the loop over them, say."""
        is_late = is_over(trace) and trace.step >= self.min_passes
        if not is_late or len(table(trace.facts.get("model"))) != 1 or is_trained_already(trace):
            return  # blocks are added while a model grows, and a pretrained one may be used up to a layer
        unreached = set(texts(table(trace.facts.get("graph")).get("unreached")))
        shapes = {
            name: shape(table(about).get("shape")) or [] for name, about in table(trace.facts.get("parameters")).items()
        }
        for stack, (last, missing) in _stacks(uncalled, calls).items():
            mine = [name for name in shapes if any(name.startswith(f"{stack}.{at}.") for at in missing)]
            lost = sum(math.prod(shapes[name]) for name in mine)
            share = lost / max(1, sum(math.prod(one) for one in shapes.values()))
            fits = _follows(shapes, f"{stack}.{last}.", f"{stack}.{missing[0]}.")
            if not mine or not unreached.issuperset(mine) or share < self.min_share or not fits:
                continue
            yield Finding(
                subject=f"{stack}.{missing[0]}",
                message=f"of the {last + 1 + len(missing)} layers of {stack} only the first {last + 1} are called: no "
                f"loss reaches the {len(mine)} parameters of the others ({share:.0%} of the elements)",
                advice=(
                    f"Look for a return, or an indentation, that ends the loop over {stack} in forward early.",
                    f"Or take the layers out of {stack} that are not needed.",
                ),
                evidence={"n_unreached": len(mine), "share": share},
            )


def _stacks(uncalled: Sequence[str], calls: Iterable[str]) -> dict[str, tuple[int, list[int]]]:
    """Lists of layers of which the first are called and all others are not: number of the last called, and the others.

    Lists whose items stand side by side, such as experts and heads, are none.
    """
    missing: dict[str, list[int]] = {}
    for part in uncalled:
        stack, _, at = part.rpartition(".")
        if stack and at.isdigit() and not _PARALLEL.search(stack):
            missing.setdefault(stack, []).append(int(at))
    found = {}
    for stack, numbers in missing.items():
        own = re.compile(re.escape(stack) + r"\.(\d+)(?=\.|$)")
        called = {int(match[1]) for layer in calls if (match := own.match(layer)) is not None}
        numbers.sort()
        if called and [*sorted(called), *numbers] == list(range(len(called) + len(numbers))):
            found[stack] = (max(called), numbers)
    return found


def _follows(shapes: Mapping[str, Sequence[int]], first: str, second: str) -> bool:
    """Whether a layer takes what another of the same kind gives, by their weights; two heads of a model do not."""
    one, other = ({n[len(at) :]: s for n, s in shapes.items() if n.startswith(at)} for at in (first, second))
    gives = [s for s in one.values() if len(s) > 1]
    takes = [s for s in other.values() if len(s) > 1]
    return one.keys() == other.keys() and bool(gives and takes) and gives[-1][0] == takes[0][1]


def _forgotten(uncalled: Sequence[str], calls: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Parts that nothing calls, each with the called parts that differ from it by a number at the end of the name.

    Parts of a list (`experts.3`) are none: those may wait to be chosen.
    """
    for part in uncalled:
        numbered = _NUMBERED.fullmatch(part)
        if numbered is not None:
            own = re.compile(re.escape(numbered[1]) + r"\d+(?=\.|$)")
            found = {match[0] for layer in calls if (match := own.match(layer)) is not None and match[0] != part}
            yield part, sorted(found)


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _calls(trace: Trace) -> tuple[dict[str, Mapping[str, Json]], list[str]]:
    """What is known of the calls of each layer, and the topmost parts that nothing calls."""
    calls: dict[str, Mapping[str, Json]] = {}
    uncalled: list[str] = []
    for model in table(trace.facts.get("model")).values():
        calls.update({name: table(about) for name, about in table(table(model).get("calls")).items()})
        uncalled += texts(table(model).get("uncalled"))
    return calls, uncalled


def _cut(names: list[str], calls: Mapping[str, Mapping[str, Json]]) -> str | None:
    """Where the graph ends, in words; None where that was not seen."""
    unreached = {_layer(name) for name in names}
    for layer in unreached:
        if table(calls.get(layer)).get("graphed") is False:
            return f"; the result of {layer or 'the layer'} hangs on no graph (no_grad)"
    starts = [at for layer in unreached if (at := number(table(calls.get(layer)).get("at"))) is not None]
    after = [
        (at, layer)
        for layer, about in calls.items()
        if layer not in unreached and about.get("bare") is True and (at := number(about.get("at"))) is not None
    ]
    behind = sorted(one for one in after if starts and one[0] > min(starts))
    return f"; {behind[0][1] or 'a later layer'} is given a tensor without a graph" if behind else None


def _number(names: list[str], calls: Mapping[str, Mapping[str, Json]], addend: Mapping[str, Json]) -> str | None:
    """The term that is a mere number, computed at each step, where layers with a graph have no other use."""
    value = number(addend.get("value"))
    if value is None or addend.get("varies") is not True:
        return None
    if not any(table(calls.get(_layer(name))).get("graphed") is True for name in names):
        return None
    return f"; a term of the loss, {value:.4g} at first, is a number without a graph (item, float or detach)"


def _sizes(trace: Trace) -> dict[str, int]:
    """Elements of each parameter that an optimizer owns."""
    return {
        name: math.prod(shape(table(about).get("shape")) or [1])
        for name, about in table(trace.facts.get("parameters")).items()
    }
