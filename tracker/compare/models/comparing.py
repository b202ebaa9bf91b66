"""Two implementations of one model, with the same weights and batch, layer by layer.

::

    from tracker import compare_models

    result = compare_models(mine, theirs, batch)
    print(result)             # a table, and the first layer that differs
    result.first_output       # None where all outputs agree
    result.check()            # raises AssertionError unless the two are the same

User code is run as it is: only `forward` of the two models, and the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ...drilling.preserved import preserved
from ...errors import ConfigError, TrackerError
from .judging import OWN, Judge
from .locating import (
    OF_WEIGHTS,
    Located,
    Passes,
    backward_events,
    dismissed,
    equivalent,
    forward_events,
    locate,
    place_of,
    precision,
)
from .matches import Match, Matching, named_tensors
from .matching import Matcher
from .pairing import Pair, pair_calls, paired
from .passes import Way, run
from .result import First, ModelComparison
from .settings import settings_of
from .sizes import Size, Tolerance, aligned, size_of
from .tables import Names, apply_table
from .telling import Teller, listed, note_of_rounding, notes_of, pictures_of, rows_of
from .tracing import Call, Substitutes, Tensors, Trace
from .weights import WeightDifference, weight_differences

_NOISE_SEED = 4_711


class NotComparable(TrackerError):
    """Two models cannot be laid beside each other: one cannot be called, or nothing in them can be matched."""


def compare_models(
    a: nn.Module,
    b: nn.Module,
    batch: Any,
    *,
    loss: Callable[..., torch.Tensor] | None = None,
    names: Names | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    copy_weights: bool = True,
    forward: Callable[[nn.Module, Any], Any] | None = None,
    train: bool = False,
) -> ModelComparison:
    """Runs both models on one batch, and says which layer is the first whose output, or gradient, differs.

    With `copy_weights` the weights of A are put into B for the time of the comparison; without it both keep theirs, as
    two checkpoints of one model do. Tensors are matched by name, end of name, order and shape; fused, transposed and
    joined ones are recognised. `names` is a table {name in A: name in B} of tensors, of modules (what is below them is
    then matched), or with `*`; a list stands for tensors that are joined, `w.T` for a transposed one.

    A batch of two, `(inputs, targets)`, is called as `loss(model(inputs), targets)`; a mapping or a dataclass goes to
    the model by keywords where `forward` takes them; a tuple by places where `forward` needs that many arguments.
    `forward(model, batch)` calls the models in another way. Without a loss, gradients are those of the outputs along a
    fixed random direction. Both are compared in evaluation mode, or with `train` in training mode, from the same state
    of the random generators.

    What is real and what is rounding is found by computing everything in float64 as well; with `rtol` or `atol` it is
    decided by them alone (`|b - a| <= atol + rtol |a|` for every element).

    Afterwards both models and the random generators are bit for bit as before, also when something raises.
    Raises `ConfigError` for arguments that do not fit, `NotComparable` where a model cannot be called with the batch or
    no parameter can be matched.
    """
    for name, model in (("a", a), ("b", b)):
        if not isinstance(model, nn.Module):
            raise ConfigError(
                f"compare_models() got {name} of type {type(model).__name__}; expected a torch.nn.Module."
            )
        lazy = [key for key, one in model.named_parameters() if nn.parameter.is_lazy(one)]
        if lazy:
            raise ConfigError(f"{lazy[0]} of {name} has no shape yet. Call the model once on a batch, then compare.")
    if loss is not None and not callable(loss):
        raise ConfigError(f"compare_models() got a loss of type {type(loss).__name__}; expected something to call.")
    given = None if rtol is None and atol is None else Tolerance(rtol=rtol or 0.0, atol=atol or 0.0)
    a, b = _uncompiled(a), _uncompiled(b)
    with preserved([a, b]):
        return _Comparison(a, b, Way(batch, forward, loss, train), names or {}, given, copy_weights).made()


class _Comparison:
    def __init__(
        self, a: nn.Module, b: nn.Module, way: Way, names: Names, given: Tolerance | None, copy_weights: bool
    ) -> None:
        self.a, self.b, self.way = a, b, way
        self.given = given
        self.copies = copy_weights
        self.notes: list[str] = []
        if a.training != b.training:
            modes = ["training" if one.training else "evaluation" for one in (a, b)]
            now = "training" if way.train else "evaluation"
            self.notes.append(f"A was in {modes[0]} mode and B in {modes[1]} mode; both were compared in {now} mode.")
        # The values before anything runs: what is put into B must not change while A runs.
        self.values = {name: one.detach().clone() for name, one in named_tensors(a).items()}
        self.kinds_a, self.kinds_b = (
            {name: type(one).__name__ for name, one in model.named_modules()} for model in (a, b)
        )
        self._output: Tensors = []
        self.matching = self._matched(names)
        self.tell = Teller(a, b, self.matching)

    def made(self) -> ModelComparison:
        a, b = self._pass("a"), self._pass("b")
        pairs = pair_calls(a.calls, b.calls, self.kinds_a, self.kinds_b, self.matching.matches)
        if self.way.forward is not None:
            pairs += _of_returned(a, b)
        doubles = self._doubles() if self.given is None else (None, None)
        judge = Judge(precision(pairs), doubles[0] is not None, self.given)
        noise = self._noise() if self.given is None and not judge.has_double else None
        passes = Passes(a, b, doubles[0], doubles[1], noise)
        unjudged = self._unsteady(a, judge)
        events = forward_events(pairs, passes, judge)
        first = next((one for one in events if one.is_real), None)
        agrees = equivalent(events, judge)
        if agrees and first is not None:
            self.notes.append(
                f"On the way to the same output the two have other values, first at {place_of(first)}: no difference."
            )
            events, first = dismissed(events), None
        behind = passes, pairs
        others: tuple[First, ...] = ()
        if first is not None:
            behind = self._forced(pairs, passes)
            others = self._others(behind[0], behind[1], judge, locate(first, events, pairs))
        tied = {name: id(one) for name, one in self.a.named_parameters(remove_duplicate=False)}
        gradients = backward_events(behind[1], behind[0], judge, self.matching.matches, tied)
        if agrees and not any(one.is_real for one in gradients if one.place == OF_WEIGHTS):
            gradients = dismissed(gradients)
        turned = next((one for one in gradients if one.is_real), None)
        self.notes += notes_of(passes, pairs, self.matching, self.copies)
        if first is not None:
            self.notes.append("Gradients were compared with A's values in and behind every layer of B.")
        elif not unjudged:
            self.notes += note_of_rounding(events, judge)
        tell = self.tell.first
        return ModelComparison(
            rows=rows_of(events, gradients),
            first_output=None if first is None else tell(locate(first, events, pairs), pairs),
            first_gradient=None
            if turned is None
            else tell(locate(turned, gradients, behind[1], backward=True), behind[1]),
            others=others,
            weights=self._weights(),
            buffers=self._buffers(passes, judge),
            matching=self.matching,
            settings=tuple(settings_of(pairs, dict(self.a.named_modules()), dict(self.b.named_modules()))),
            notes=tuple(self.notes),
            unjudged=unjudged,
            judged_by=judge.says,
            pictures=pictures_of(events),
        )

    def _matched(self, names: Names) -> Matching:
        order_a, order_b = (
            {call.name: call.index for call in reversed(self._pass(side, keep=False, plain=True).calls)}
            for side in ("a", "b")
        )
        tensors = self.values, named_tensors(self.b)
        ours = dict(named_tensors(self.a))
        matcher = Matcher(ours, tensors[1], self.kinds_a, self.kinds_b, order_a, order_b)
        apply_table(matcher, names)
        matcher.automatic()
        found = matcher.finished()
        n_a, n_b = (sum(1 for _ in model.parameters()) for model in (self.a, self.b))
        if n_a and n_b and not any(isinstance(ours[one.a[0]], nn.Parameter) for one in found.matches):
            raise NotComparable(
                "No parameter of A could be matched with one of B. "
                f"A has {listed(found.left_a)}; B has {listed(found.left_b)}. "
                'Give names={"name in A": "name in B"}.'
            )
        return found

    def _pass(
        self,
        side: str,
        *,
        keep: bool = True,
        plain: bool = False,
        double: bool = False,
        gradients: bool = True,
        like: Tensors | None = None,
        substitutes: Substitutes | None = None,
    ) -> Trace:
        """One pass of one side, `plain` without weights put in and without gradients."""
        model = self.a if side == "a" else self.b
        put: tuple[list[Match], Mapping[str, torch.Tensor]] | None = None
        if side == "b" and self.copies and not plain:
            put = self.matching.matches, self.values
        if side == "a" and not plain:
            like = None
        elif not plain and like is None:
            like = self._output
        try:
            trace = run(
                model, self.way, weights=put, double=double, keep=keep, gradients=gradients and not plain, like=like,
                substitutes=substitutes,
            )  # fmt: skip
        except (TrackerError, KeyboardInterrupt):
            raise
        except Exception as error:
            if double:
                raise
            if gradients and not plain:
                kept = self._pass(
                    side, keep=keep, gradients=False, like=like, substitutes=substitutes
                )  # what its forward pass gives can be compared nevertheless
                kept.no_gradients = f"{type(error).__name__}: {_brief(error)}"
                return kept
            raise NotComparable(
                f"{side.upper()} ({type(model).__name__}) could not be run on the batch: "
                f"{type(error).__name__}: {error}"
            ) from error
        if side == "a" and not plain:
            self._output = trace.output
        return trace

    def _doubles(self) -> tuple[Trace, Trace] | tuple[None, None]:
        """Both in float64; neither where one of them cannot be."""
        output = self._output
        try:
            ours = self._pass("a", double=True)
            theirs = self._pass("b", double=True)
        except Exception as error:
            self.notes.append(
                f"Not computed in float64 as well ({type(error).__name__}: {_brief(error)}): rounding is told from "
                "mistakes by size alone."
            )
            return None, None
        finally:
            self._output = output
        return ours, theirs

    def _noise(self) -> Trace | None:
        """A with each weight changed by up to half of the distance to the next number."""
        generator = torch.Generator().manual_seed(_NOISE_SEED)
        output = self._output
        with preserved([self.a]), torch.no_grad():
            for one in {id(one): one for one in self.a.parameters()}.values():
                if one.is_floating_point():
                    turn = torch.rand(one.shape, generator=generator).to(one.device, one.dtype) - 0.5
                    one.data.copy_(one.data * (1 + 2 * torch.finfo(one.dtype).eps * turn))
            try:
                return self._pass("a")
            finally:
                self._output = output

    def _unsteady(self, a: Trace, judge: Judge) -> str:
        """Says so where A itself gives something else from the same state."""
        again = self._pass("a", gradients=False)
        self._output = a.output
        size = size_of([(one[1], other[1]) for one, other in paired(a.output, again.output)])
        if size.relative <= max(OWN * judge.eps, 1e-3 * bool(judge.eps > 1e-6)):
            return ""
        return (
            f"A gives different outputs from the same weights, batch and random state ({size}): it draws from a source "
            "that cannot be set back, or keeps something between calls. Nothing can be compared."
        )

    def _forced(self, pairs: Sequence[Pair], passes: Passes) -> tuple[Passes, list[Pair]]:
        """B again, with A's values in the place of its own in and behind every layer: each is looked at by itself."""
        b = self._pass("b", substitutes=_substitutes(pairs, passes.a))
        double = None
        if passes.double_a is not None:
            try:
                double = self._pass("b", double=True, substitutes=_substitutes(pairs, passes.double_a))
            except Exception:
                double = None
        same = len(b.calls) == len(passes.b.calls)
        if not same:
            return passes, list(pairs)
        turned = [Pair(pair.a, b.calls[pair.b.index] if pair.b.index >= 0 else pair.b) for pair in pairs]
        made = Passes(passes.a, b, passes.double_a if double is not None else None, double, passes.noise)
        return made, turned

    def _others(self, passes: Passes, pairs: list[Pair], judge: Judge, known: Located) -> tuple[First, ...]:
        events = forward_events(pairs, passes, judge)
        found: dict[tuple[str, str], First] = {}
        for event in events:
            if event.is_real:
                located = locate(event, events, pairs)
                key = located.pair.a.name, located.pair.b.name
                if key != (known.pair.a.name, known.pair.b.name):
                    found.setdefault(key, self.tell.first(located, pairs))
        return tuple(found.values())

    def _weights(self) -> tuple[WeightDifference, ...]:
        if self.copies:
            return ()
        return weight_differences(self.matching, named_tensors(self.a), named_tensors(self.b))

    def _buffers(self, passes: Passes, judge: Judge) -> tuple[WeightDifference, ...]:
        """Of the matched buffers, those that the pass left in another state."""
        if not self.copies:
            return ()
        found = []
        for match in self.matching.matches:
            if not all(name in passes.a.buffers for name in match.a) or not all(
                name in passes.b.buffers for name in match.b
            ):
                continue
            own = _of_buffers(match, passes.a, passes.b, judge.tolerance)
            double = None
            if passes.double_a is not None and passes.double_b is not None:
                double = _of_buffers(match, passes.double_a, passes.double_b, Tolerance())
            if own is not None and judge.is_real(own, double):
                found.append(WeightDifference(match.name, " + ".join(match.b), own))
        return tuple(sorted(found, key=lambda one: -one.size.relative))


def _substitutes(pairs: Sequence[Pair], a: Trace) -> Substitutes:
    """A's values for what goes into the calls of B, and comes out of them."""
    partner = {pair.b.index: a.calls[pair.a.index] for pair in pairs if 0 <= pair.a.index < len(a.calls)}
    names = {pair.b.index: pair.b.name for pair in pairs}

    def values(call: Call, what: str, found: Tensors) -> Mapping[str, torch.Tensor]:
        ours = partner.get(call.index)
        if ours is None or names[call.index] != call.name:
            return {}
        given = {}
        for (_, value), (path, tensor) in paired(ours.inputs if what == "inputs" else ours.outputs, found):
            fitting = aligned(tensor, value)
            if fitting is None and ours.kind == call.kind and what == "outputs":
                fitting = value  # of another shape, but surely what is meant
            if fitting is not None:
                given[path] = fitting
        return given

    return values


def _of_returned(a: Trace, b: Trace) -> list[Pair]:
    """What a `forward` of the user's gave back, as the output of one last call."""
    ends = []
    for trace in (a, b):
        call = Call("", "what forward() returned", 0, -1, outputs=trace.output)
        call.entered = call.left = 2 * len(trace.calls) + 1
        ends.append(call)
    return [Pair(*ends)]


def _of_buffers(match: Match, a: Trace, b: Trace, tolerance: Tolerance) -> Size | None:
    ours, theirs = match.value("a", a.buffers), match.value("b", b.buffers)
    return size_of([(ours, theirs)], tolerance) if ours.numel() == theirs.numel() else None


def _uncompiled(model: nn.Module) -> nn.Module:
    """The model itself: hooks in a compiled one are not called."""
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 100 else f"{text[:99]}…"
