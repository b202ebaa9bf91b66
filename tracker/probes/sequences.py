"""Whether a recurrent layer runs on behind the end of its sequences, and what it ends with is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from . import nodes
from .loss import unscaled
from .models import Model, tensors_in
from .nested import Aside, may_compute
from .nodes import kind
from .passes import Called, Watcher

if TYPE_CHECKING:
    from ..rules.engine.records import Json

FIRST = 16
"""Backwards on closely watched steps that are looked at: how a model reads its sequences does not change."""

_MOST_LAYERS, _MOST_NODES, _MOST_ROWS, _MOST_ELEMENTS = 8, 4000, 64, 1 << 18
_LEAST_LENGTH = 3

Key = tuple[str, int, int]
"""An output of a node, by kind, number and place: what tells it apart without keeping its graph alive."""


class Sequences(Watcher):
    """Compares what recurrent layers are given with what is used of what they put out, on the first steps looked at.

    Fact `final_states`: a list, one table for each `RNN`, `GRU` or `LSTM` whose last position is used, and that is
    given plain tensors, on the CPU::

        {"layer": name, "class", "used": "last output" (nothing else of the output is) or "final state" (that of one
         direction alone), "padding": share of the positions, in the run that rows end with: of the same vector, or of
         the same token where it was looked up; 0 to 1, mean over the batches}
    """

    name = "sequences"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._looks = 0
        self._filled: dict[tuple[int, int], float] = {}
        """Share of padding among the tokens of this pass, by their shape."""
        self._calls: list[tuple[str, str, float, dict[Key, str], int]] = []
        """Of this pass: layer, class, share of padding, its outputs, and the dimension of their positions."""
        self._found: dict[str, dict[str, Json]] = {}
        self._shares: dict[str, list[float]] = {}

    def begin_close(self) -> None:
        self._filled, self._calls = {}, []

    def watch(self, model: Model, has_grad: bool) -> Called | None:
        """Hears of the layers of training passes."""
        self._filled, self._calls = {}, []
        return self._note if has_grad and self._looks < FIRST and self.training.close and may_compute() else None

    def _note(self, model: Model, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        given = args[0] if args else None
        if type(given) is not torch.Tensor or not given.is_cpu or not given.numel():
            return
        if isinstance(module, torch.nn.Embedding):
            if given.dim() == 2 and len(self._filled) < _MOST_LAYERS:
                with Aside():
                    self._filled[given.shape[0], given.shape[1]] = padding(given.detach()[..., None])
            return
        if not isinstance(module, (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM)) or given.dim() != 3:
            return
        if len(self._calls) >= _MOST_LAYERS or not isinstance(output, tuple) or len(output) != 2:
            return
        time = 1 if module.batch_first else 0
        rows = given.detach() if time else given.detach().transpose(0, 1)
        with Aside():
            shapes = ((rows.shape[0], rows.shape[1]), (rows.shape[1], rows.shape[0]))
            share = max([padding(rows), *(self._filled.get(shape, 0.0) for shape in shapes)])
        outputs = {_key(tensor): "output" for tensor in tensors_in(output[0]) if tensor.grad_fn is not None}
        if not module.bidirectional:  # the other direction ends with the beginning
            outputs.update((_key(tensor), "state") for tensor in tensors_in(output[1]) if tensor.grad_fn is not None)
        self._calls.append((model.subject(name), type(module).__name__, share, outputs, time))

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        calls, self._calls = self._calls, []
        root = tensor.grad_fn if loss is tensor else unscaled(tensor)
        if not calls or root is None or not nodes.is_apart():
            return
        self._looks += 1
        uses: dict[Key, list[Any]] = {key: [] for _, _, _, outputs, _ in calls for key in outputs}
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for node, key in _edges(root):
                if key in uses:
                    uses[key].append(node)
            for layer, name, share, outputs, time in calls:
                used = _used({key: (what, uses[key]) for key, what in outputs.items()}, time)
                if used:
                    shares = self._shares.setdefault(layer, [])
                    shares.append(share)
                    mean = sum(shares) / len(shares)
                    self._found[layer] = {"layer": layer, "class": name, "used": used, "padding": round(mean, 4)}

    def end_close(self) -> None:
        self._calls = []
        if self._looks and not self._looks & (self._looks - 1):
            self._tell()

    def finish(self) -> None:
        self._tell()

    def begin_another(self) -> None:
        self._looks, self._found, self._shares = 0, {}, {}

    def _tell(self) -> None:
        if self._found:
            self.training.fact("final_states", [dict(one) for one in self._found.values()])


def padding(rows: torch.Tensor) -> float:
    """Share of the positions of sequences (N, T, F) in the run of one vector that they end with: the same in all.

    The vector is that of the first row of which the last two are alike. A row of it alone counts as none.
    """
    rows = rows[:_MOST_ROWS]
    rows = rows[: max(1, _MOST_ELEMENTS // max(1, rows[0].numel()))]
    if rows.shape[1] < _LEAST_LENGTH:
        return 0.0
    is_flat = (rows[:, -1] == rows[:, -2]).all(-1)
    if not bool(is_flat.any()):
        return 0.0
    filler = rows[int(is_flat.long().argmax()), -1]
    lengths = (rows == filler).all(-1).flip(1).long().cumprod(1).sum(1)
    lengths = torch.where(lengths < rows.shape[1], lengths, 0)
    return float(lengths.sum()) / (rows.shape[0] * rows.shape[1])


def _key(tensor: torch.Tensor) -> Key:
    node: Any = tensor.grad_fn
    return kind(node), node._sequence_nr(), tensor.output_nr


def _edges(root: Any) -> Iterator[tuple[Any, Key]]:
    """Everything that a node behind `root` is given, each node once, in the order of their distance."""
    seen, queue = {root}, [root]
    for node in queue:
        for following, place in node.next_functions:
            if following is None or kind(following) == "AccumulateGrad":
                continue
            yield node, (kind(following), following._sequence_nr(), place)
            if following not in seen and len(seen) < _MOST_NODES:
                seen.add(following)
                queue.append(following)


def _used(uses: dict[Key, tuple[str, list[Any]]], time: int) -> str:
    """What of a layer's outputs is used: nothing but its last position, its final state, or something else (empty).

    Nodes inside of the layer are given what becomes its outputs, too: of a state that is also the last output.
    """
    of_output = [node for what, users in uses.values() if what == "output" for node in users]
    of_state = [node for what, users in uses.values() if what == "state" for node in users]
    if of_output:
        return "last output" if all(_is_last(node, time) for node in of_output) else ""
    return "final state" if of_state else ""


def _is_last(node: Any, time: int) -> bool:
    """Whether a node takes the last position of what it is given."""
    if kind(node) != "Select":
        return False
    dim, index = nodes.signed(int(node._saved_dim)), nodes.signed(int(node._saved_index))
    sizes = getattr(node, "_saved_self_sym_sizes", None)
    if sizes is None or len(sizes) != 3:
        return False
    return dim % 3 == time and index % int(sizes[time]) == int(sizes[time]) - 1
