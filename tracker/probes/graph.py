"""Looks at the graph of the loss on the first steps, and when the model changes: what is in it, and what is not."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import torch

from ..rules.engine.records import Json
from . import causality, flat, masks, nodes
from .axes import WATCHED
from .layout import Layout
from .lookups import WATCHED as LOOKUPS
from .lookups import Lookups
from .loss import unscaled
from .parameters import is_real
from .probe import Pass, Probe
from .sight import Sight, Survey
from .standing import Standing
from .ungraphed import Ungraphed
from .walk import MAX_NODES, signature, walk

FIRST = 3
"""First steps whose losses are all walked: later ones are when they look different."""
STANDS_BY = 16
"""Backward calls without a step after which it is told what the loss reaches: no end of a step may ever come."""
_MAX_WALKS = 32
_MAX_NAMES = 50
_MOST_EVER = 10_000
"""Parameters that were owned at some time, beyond which those that are gone are forgotten."""
_WATCHED = WATCHED | causality.WATCHED | flat.WATCHED | LOOKUPS | masks.WATCHED


class Graph(Probe):
    """What the loss reaches, and who owns it. Said at the end of a step, and again when it has changed.

    Fact `graph`; each list of names has at most 50, and `n_...` is their whole number::

        reached       number of parameters that some loss so far reaches
        unreached     trainable parameters, owned by an optimizer, that no loss so far has reached
        unowned       parameters that a loss reaches and no optimizer owns, or has owned before; `[8, 3]` is the shape
                      of a nameless one
        idle          trainable parameters of the same models that no loss reaches and no optimizer owns
        shared        parameters that two optimizers own, which step in turn
        stale         parameters an optimizer owns that are no longer in any model in sight, and that no loss reaches:
                      the model was made anew, or a part of it replaced, behind the optimizer's back
        unstepped     [{"class", "parameters"}]: optimizers in sight that have not stepped, nor another one for them,
                      and how many of their parameters a loss reaches
        foreign       parameters that a loss reaches and an optimizer owns, but that no model in sight holds: an image
                      that is optimized, say
        cut           None; `leaf`: the loss is a new leaf, made with `requires_grad=True`; `all`: a loss hangs on no
                      parameter; `part`: it reaches some parameters, and others, trainable and owned, no loss does
        ungraphed     modules that were called from outside of any model, with gradients switched off only, and that an
                      optimizer owns, all of it unreached: but for copies, those with the shapes of what is reached,
                      and for those whose weights were changed since, as a moving average does
        stilled       trained parameters that the losses reach through nothing but operations of derivative zero
        stilled_by    those operations, as Python calls them: ["round"]
        lookups       [{"table": name, "rows", "looks": graphs in which it was looked at, "ids": the first few that it
                      was asked for, "forms": kinds of samples, repetitions left out, 3 for three and more,
                      "positions": whether it is only asked to count upwards}] of each embedding, on the CPU
        ...           and what lies between the parameters and the loss: see `layout.Layout`

    A loss without a graph raises in `backward`: see the event `loss_detached` of `losses.Losses`.
    """

    name = "graph"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._reached: dict[int, weakref.ref[torch.Tensor]] = {}
        self._sight = Sight()
        self._stepped: dict[int, tuple[int, int]] = {}
        """First and last step that was looked at closely, of each optimizer."""
        self._under_way: list[int] = []
        self._ever: dict[int, weakref.ref[torch.Tensor]] = {}
        """Parameters that an optimizer had when it stepped first."""
        self._known_to_step: weakref.WeakSet[Any] = weakref.WeakSet()
        self._signatures: set[tuple[str, ...]] = set()
        self._walks = 0
        self._looks = 0
        self._looks_new = False
        self._trained: int | None = None
        self._is_opaque = False
        self._is_off = False
        self._is_new = False
        self._has_leaf = False
        self._reaches_none = False
        self._layout = Layout(training)
        self._alive = flat.Alive()
        self._lookups = Lookups()
        self._standing = Standing()
        self._unowned: list[tuple[str, weakref.ref[torch.Tensor]]] = []
        self._walked: list[tuple[str, weakref.ref[torch.Tensor]]] = []
        """Shape of each parameter that the latest walk reached."""
        self._walks_told = -1
        """How many walks there had been when the fact was told last."""
        self._ungraphed = Ungraphed()
        self._fact: dict[str, Json] = {}

    # -- what is seen ----------------------------------------------------------------------------------------------

    def root_forward(self, call: Pass) -> None:
        if isinstance(call.module, torch.nn.Module):
            self._sight.note(call.module)
            if not call.has_grad and self._ungraphed.note(call.module):
                self._is_new = True

    def adopted(self) -> None:
        self._is_new = True

    def before_step(self, optimizer: Any, owned: Any) -> None:
        # An optimizer that steps inside of another's step (SAM, Lookahead) is a part of it, and shares its parameters.
        if self.training.step < FIRST or optimizer not in self._known_to_step:
            self._known_to_step.add(optimizer)
            self._standing.stepped(optimizer)
            if len(self._ever) > _MOST_EVER:
                self._ever = {key: ref for key, ref in self._ever.items() if ref() is not None}
            for group in optimizer.param_groups:
                self._ever.update((id(p), weakref.ref(p)) for p in group["params"])
        if not self._under_way:
            step = self.training.step
            self._stepped[owned.number] = (self._stepped.get(owned.number, (step, step))[0], step)
        self._under_way.append(owned.number)

    def after_step(self, optimizer: Any, owned: Any) -> None:
        if self._under_way:
            self._under_way.pop()

    def begin_close(self) -> None:
        self._under_way.clear()  # left over when a step raised

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        root = tensor.grad_fn if loss is tensor else unscaled(tensor)
        if root is None:
            if tensor.requires_grad:
                self._has_leaf = self._is_new = True
            return
        if self._is_off or not nodes.is_apart():
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            if self._is_worth_it(root):
                self._walks += 1
                self._walk(root)
            elif self._lookups.is_open:
                self._is_new = self._lookups.look(walk(root, kinds=LOOKUPS).watched) or self._is_new
            if self._looks == STANDS_BY and not self.training.optimizers:
                self._tell()

    def end_close(self) -> None:
        if self._is_new and not self._is_off:
            self._is_new = False
            with torch.no_grad(), torch._C.DisableTorchFunction():
                self._tell()

    def finish(self) -> None:
        self.end_close()
        if self._fact:
            # Models may be gone by now, what they were is known; and an optimizer may have stepped at last.
            last: dict[str, Json] = {"unstepped": self._unstepped(), "lookups": self._lookups.told({})}
            self.training.fact("graph", {**self._fact, **last})

    # -- the walk --------------------------------------------------------------------------------------------------

    def _is_worth_it(self, root: Any) -> bool:
        """Every loss of the first steps, then one that looks different, or hangs on parameters that are."""
        self._looks += 1
        thawed = self._thawed()
        if thawed != self._trained:
            if self._trained is not None:
                self._signatures.clear()
            self._trained = thawed
        now = signature(root)
        self._looks_new = now not in self._signatures
        if self._looks_new and len(self._signatures) < 4 * _MAX_WALKS:
            self._signatures.add(now)
        # A graph that never looks the same twice is looked at ever more rarely.
        is_rare = self._walks >= _MAX_WALKS and self._looks & (self._looks - 1)
        return self.training.step < FIRST or (self._looks_new and not is_rare)

    def _thawed(self) -> int | None:
        """A number for which of the optimizers' parameters are trained; None before there is one."""
        groups = [group for optimizer in self.training.optimizers for group in optimizer.param_groups]
        return hash(tuple([p.requires_grad for group in groups for p in group["params"]])) if groups else None

    def _walk(self, root: Any) -> None:
        found = walk(root, kinds=_WATCHED)
        if not found.is_whole:
            self._is_off = True
            self.training.unseen("graph", "The graph of the loss has more operations than are walked (20,000).")
            return
        if any(_is_sharded(leaf) for leaf in found.leaves):
            self._stop_for_shards()
            return
        if not all(is_real(leaf) for leaf in found.leaves):
            return
        self._is_opaque = self._is_opaque or found.is_opaque
        self._is_new = self._lookups.look(found.watched) or self._is_new
        before = len(self._reached) + len(self._alive)
        for leaf in found.leaves:
            if id(leaf) not in self._reached or self._reached[id(leaf)]() is not leaf:
                self._reached[id(leaf)] = weakref.ref(leaf)
        parameters = [leaf for leaf in found.leaves if isinstance(leaf, torch.nn.Parameter)]
        self._walked = [(str(list(leaf.shape)), weakref.ref(leaf)) for leaf in parameters]
        self._reaches_none = not parameters
        self._alive.note(root, found, MAX_NODES)
        is_larger = len(self._reached) + len(self._alive) != before
        if self._looks_new or is_larger:
            self._is_new = True
            self._sight.look(sys._getframe())
            self._layout.note(root, found, self._names(self._sight.survey()))

    def _stop_for_shards(self) -> None:
        """With `fully_shard` the graph hangs on whole parameters, put together for a pass; the optimizer has shards."""
        self._is_off = True
        self.training.unseen("graph", "Parameters are sharded: those in the graph are not those of the optimizer.")

    # -- the fact --------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        reached = {key: leaf for key, ref in self._reached.items() if (leaf := ref()) is not None}
        optimizers = [*self.training.optimizers, *self._sight.optimizers]
        owned = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        if any(_is_sharded(p) for p in owned):
            self._stop_for_shards()
            return
        held = {id(p) for p in owned}
        survey = self._sight.survey(reached.keys() - held)
        names = self._names(survey)
        mine = {id(p): (name, p) for owned in self.training.owned for name, p in owned.items() if id(p) in held}
        unreached = {key for key, (_, p) in mine.items() if key not in reached and p.requires_grad and self._is_sure(p)}
        in_models = survey.parameters()
        unregistered = {id(p) for _, p in survey.unregistered}
        # Models that are not in sight tell nothing of what belongs to one.
        stale = unreached - in_models if in_models & reached.keys() else set()
        found_unowned = [
            (names.get(key) or str(list(leaf.shape)), self._reached[key])
            for key, leaf in reached.items()
            if held
            and key not in held
            and (isinstance(leaf, torch.nn.Parameter) or key in unregistered)
            and not (key in self._ever and self._ever[key]() is leaf)
        ]
        # Made anew in each pass, they are gone meanwhile: what an optimizer owns would live.
        made_anew = self._unowned if self._walks == self._walks_told else self._walked
        owned_once = {id(ref) for ref in self._ever.values()}  # a tensor has one weak reference, whoever asks for it
        found_unowned += [one for one in made_anew if held and one[1]() is None and id(one[1]) not in owned_once]
        self._unowned, self._walks_told = found_unowned, self._walks
        self._standing.look(self._sight.optimizers, {id(one) for one in self.training.optimizers})
        lists: dict[str, list[str]] = {
            "unreached": [mine[key][0] for key in mine if key in unreached - stale],
            "unowned": [one for one, _ in found_unowned],
            "idle": survey.others(reached.keys() | held) if held else [],
            "shared": self._shared(),
            "stale": [mine[key][0] for key in mine if key in stale],
            "stilled": [mine[key][0] for key in mine if key in reached and self._alive.is_stilled(mine[key][1])],
        }
        fact: dict[str, Json] = {"reached": sum(1 for key in reached if key in names or key in held)}
        for key, found in lists.items():
            fact[key] = list[Json](found[:_MAX_NAMES])
            fact[f"n_{key}"] = len(found)
        fact["ungraphed"] = list[Json](
            self._ungraphed.told(
                {key: mine[key][0] for key in mine if key in unreached - stale}, list(reached.values())
            )
        )
        fact["foreign"] = sum(1 for key in reached if key in held - in_models - unregistered)
        fact["unstepped"] = self._unstepped()
        fact["cut"] = self._cut(reached.keys() & held, bool(unreached))
        fact["stilled_by"] = self._alive.stilled_by()
        fact |= self._layout.told(held)
        fact["lookups"] = self._lookups.told(names)
        if self._walks or self._has_leaf:
            self._fact = fact
            self.training.fact("graph", fact)

    def _unstepped(self) -> list[Json]:
        return self._standing.told(self._reached.keys())

    def _cut(self, reached: Any, has_unreached: bool) -> str | None:
        if self._has_leaf:
            return "leaf"
        if self._reaches_none and not reached:
            return "all"
        return "part" if has_unreached else None

    def _is_sure(self, parameter: torch.Tensor) -> bool:
        """A parameter that has a gradient was reached where we cannot see, inside of a checkpoint, say."""
        return not (self._is_opaque and parameter.grad is not None)

    def _shared(self) -> list[str]:
        """Names of what two optimizers own, each of which has stepped since the other did first: no two phases."""
        found: dict[int, tuple[str, tuple[int, int]]] = {}
        shared: dict[int, str] = {}
        for owned in self.training.owned:
            span = self._stepped.get(owned.number)
            if span is not None:
                for name, parameter in owned.items():
                    _, other = found.setdefault(id(parameter), (name, span))
                    if other is not span and other[0] <= span[1] and span[0] <= other[1]:
                        shared[id(parameter)] = name
        return list(shared.values())

    def _names(self, survey: Survey) -> dict[int, str]:
        """Names of parameters by `id`: as the optimizer's are called, else as their model calls them."""
        found = survey.names()
        for owned in self.training.owned:
            found.update({id(p): name for name, p in owned.items()})
        return found


def _is_sharded(leaf: torch.Tensor) -> bool:
    return type(leaf).__name__ in ("FlatParameter", "DTensor") or type(leaf).__module__.startswith("torch.distributed")
