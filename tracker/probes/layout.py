"""How the graphs of the losses are laid out: their layers, and what lies between these and the loss."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container
from typing import Any

import torch

from ..rules.engine.records import Json
from . import between, causality
from .agreement import agreement
from .axes import dropouts, softmaxes, thrown_away
from .focus import upended
from .loss import LossNode, first_function
from .masks import of_one_value, upside_down
from .recurrent import is_hidden_state
from .terms import terms_of
from .walk import Walk, broadcast, consecutive, tail, weight_of
from .weighing import weighed

_MAX_NAMES = 50
_MAX_LOSSES = 8
_MAX_LINEAR = 10_000
_HIDDEN = ("compiledfunction", "differentiablegraph")
_HIDDEN_REASON = "The model is compiled: what its last operations are, ahead of the loss, is not seen."

_Name = Callable[["torch.Tensor | None"], "str | None"]


class Layout:
    """What the graphs of the losses are made of, each kind of thing once.

    Of the fact `graph`, each list with at most 50 items::

        tails         for each kind of loss: {"loss": function, "ops": operations from the loss function to the last
                      layer, views left out, "layer": name of that layer's weight or None}; `hidden_state` alone where
                      the outputs are that of a recurrent layer, -1 to 1
        linear        number of linear layers and convolutions, by their weights
        linear_pairs  [{"first": name, "second": name, "kind": "linear", "convolution" or "mixed", "widths":
                      [in, between, out]}]: two layers with no activation between them
        broadcast     [{"function", "outputs": shape, "targets": shape or None, "result": shape}]: what was repeated
                      to fit the other; with "by": "product", "quotient" or "choice" where outputs, or losses of
                      samples, were weighed so, `targets` being the shape of the weights
        softmaxes     [{"op": "softmax" or "log_softmax", "shape", "dim": along which its values add up to one, "tail":
                      between the last layer and the loss, "summed": the dimension along which a product of matrices
                      sums them then, or None, "batch": samples in the loss, or None, "classes": the dimension in which
                      the loss function looks for the classes, where it is given this as it is, else None}]
        doubled       [{"first": "softmax" or "sigmoid", "second": the function that squashes its result once more,
                      "layer": name of the weight ahead of both, or None}]
        raw           [{"use": "overlap", "logarithm" or "likelihood", "layer": name of the weight}]: what is made for
                      probabilities, by hand, and is given the scores of a layer as they are
        upended       the power in `p ** power * log(p)`, where a focal loss has `(1 - p) ** power`; or None
        agreement     "distance" or "similarity" where all losses do nothing but bring two outputs together, both
                      trained; else None
        dropouts      shares that dropouts leave out, modules and functions, each share once; on the CPU
        thrown_away   [{"loss": function, "share", "layer": name of the weight}]: a dropout of the outputs themselves,
                      ahead of nothing but the loss; on the CPU
        of_one_value  [{"kind": "layer norm" or "group norm", "layer": name of the weight, or None}]: normalisation
                      over a single value, which is 0 then
        upside_down   {"by": "attention" or "product", "filler": token, "kept": share of the positions}: a mask that
                      keeps the filler of sequences and leaves out all else; or None
        ahead         where the labels are the tokens the model was given, one position on: [{"how": "attention",
                      "recurrence" or "convolution", "share": of the attention that goes to later positions, or None,
                      "layer": name of the weight, or None}], layers in which a position sees its own label
    """

    def __init__(self, training: Any) -> None:
        self._training = training
        self._linear: set[str] = set()
        self._tails, self._broadcasts, self._doubled, self._raw = (_Distinct(_MAX_LOSSES) for _ in range(4))
        self._pairs, self._softmaxes, self._ahead, self._of_one_value = (_Distinct(_MAX_NAMES) for _ in range(4))
        self._thrown_away = _Distinct(_MAX_LOSSES)
        self._upside_down: dict[str, Json] | None = None
        self._dropouts: set[float] = set()
        self._upended: float | None = None
        self._agreements: set[str | None] = set()
        self._agreed: dict[int, weakref.ref[torch.Tensor]] = {}
        """Weights of the layers whose outputs are brought together."""

    def note(self, root: Any, found: Walk, names: dict[int, str]) -> None:
        """Looks at the graph of one loss, which has been walked; `names` are those of parameters, by `id`."""

        def name(weight: torch.Tensor | None) -> str | None:
            return None if weight is None else names.get(id(weight)) or str(list(weight.shape))

        function = first_function(terms_of(root))
        if function is not None and function.behind is not None:
            self._note_tail(function, name)
        repeated = broadcast(function, root) or weighed(root)
        if repeated is not None:
            self._broadcasts.add(repeated, str((repeated["function"], len(repeated["result"]))))
        self._note_end(root, name)
        for softmax in softmaxes(found.watched, function):
            self._softmaxes.add(softmax)
        if len(self._dropouts) < _MAX_NAMES:
            self._dropouts.update(dropouts(found.watched))
        for layer in causality.ahead(found.watched, found.linear, function, lambda weight: name(weight) or ""):
            self._ahead.add(layer, f"{layer['how']} {layer['layer']}")
        self._note_layers(found.linear, name)
        for kind, weight in of_one_value(found.watched):
            self._of_one_value.add({"kind": kind, "layer": name(weight)})
        self._upside_down = self._upside_down or upside_down(found.watched)
        if not all(isinstance(leaf, torch.nn.Parameter) for leaf in found.leaves):
            self._agreements.add(None)  # an input with a gradient: a derivative may be what is compared

    def told(self, held: Container[int]) -> dict[str, Json]:
        """Its part of the fact; `held` are the `id`s of the parameters that an optimizer owns."""
        are_held = all(key in held for key, ref in self._agreed.items() if ref() is not None)
        return {
            "tails": self._tails.told(),
            "linear": len(self._linear),
            "linear_pairs": self._pairs.told(),
            "broadcast": self._broadcasts.told(),
            "softmaxes": self._softmaxes.told(),
            "doubled": self._doubled.told(),
            "raw": self._raw.told(),
            "upended": self._upended,
            "agreement": next(iter(self._agreements)) if len(self._agreements) == 1 and are_held else None,
            "dropouts": list[Json](sorted(self._dropouts)),
            "thrown_away": self._thrown_away.told(),
            "of_one_value": self._of_one_value.told(),
            "upside_down": self._upside_down,
            "ahead": self._ahead.told(),
        }

    def _note_tail(self, function: LossNode, name: _Name) -> None:
        """The operations from the loss function back to the last layer."""
        ops, layer = tail(function.behind)
        if layer is None and ops and ops[-1] in _HIDDEN:
            self._training.unseen("loss tail", _HIDDEN_REASON)
        if is_hidden_state(function.behind):
            ops = ["hidden_state"]
        share = thrown_away(function.behind)
        if share is not None:
            self._thrown_away.add({"loss": function.function, "share": share, "layer": _made_by(layer, name)})
        self._tails.add({"loss": function.function, "ops": list(ops), "layer": _made_by(layer, name)})

    def _note_end(self, root: Any, name: _Name) -> None:
        """What lies between the last layers and the loss."""
        zone = between.zone_of(root)
        for first, second, node in between.doubled(zone):
            self._doubled.add({"first": first, "second": second, "layer": _made_by(tail(node)[1], name)})
        for use, node in between.raw(zone, root):
            ops, layer = tail(node)
            if between.is_raw(ops, layer):
                self._raw.add({"use": use, "layer": _made_by(layer, name)})
        self._upended = self._upended or upended(zone)
        if len(self._agreements) < 2:
            kind, made_by = agreement(zone, root) or (None, [])
            self._agreements.add(kind)
            self._agreed.update((id(weight), weakref.ref(weight)) for weight in made_by)

    def _note_layers(self, linear: list[Any], name: _Name) -> None:
        if len(self._linear) < _MAX_LINEAR:
            self._linear.update(name(weight_of(node)) or "" for node in linear if weight_of(node) is not None)
        for first, second, kind in consecutive(linear):
            widths: list[Json] = [*_widths(first)[:1], *_widths(second)]
            pair: dict[str, Json] = {"first": name(first), "second": name(second), "kind": kind, "widths": widths}
            self._pairs.add(pair, f"{name(first)} {name(second)}")


class _Distinct:
    """The first of each kind of description, and of at most so many kinds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[str, Json] = {}

    def add(self, one: dict[str, Json], kind: str = "") -> None:
        """Keeps `one` unless there is one of its `kind`: by default of all the same words."""
        if len(self._of) < self._most:
            self._of.setdefault(kind or str(one), one)

    def told(self) -> Json:
        return list(self._of.values())


def _made_by(layer: Any, name: _Name) -> str | None:
    """Name of the weight of a layer."""
    return name(weight_of(layer)) if layer else None


def _widths(weight: torch.Tensor) -> list[int]:
    """[in, out] of a linear layer or convolution."""
    return [int(weight.shape[1]), int(weight.shape[0])] if weight.dim() > 1 else [int(weight.shape[0])]
