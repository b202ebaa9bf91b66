"""Reads the nodes that autograd builds: what they are, what they hang on, and what they saved.

Nothing is run, and nothing of the user's is called: what was saved under a hook (checkpointing, `save_on_cpu`,
`saved_tensors_hooks`) is not read, as reading would run the hook.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from functools import cache
from typing import Any

import torch

SHAPES = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "ViewAs", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Slice",
    "Select", "Expand", "Clone", "ToCopy", "Alias", "AsStrided", "Unbind", "Split", "SplitWithSizes", "Repeat",
    "Contiguous", "CopyBackwards", "CopySlices", "Unfold", "Detach", "MoveDim", "Diagonal", "Flip", "Narrow",
})  # fmt: skip
"""Operations that move values, and change none."""

LINEAR = frozenset({"Addmm", "Mm", "Linear", "Convolution", "MkldnnLinear", "Addmv", "Mv"})
"""Operations of a layer that is linear in what it is given."""

LAYERS = LINEAR | frozenset({
    "Bmm", "Baddbmm", "Embedding", "EmbeddingBag", "MkldnnRnnLayer", "CudnnRnn", "MiopenRnn", "ThnnFusedLstmCell",
    "ThnnFusedGruCell", "CudnnConvolution", "MkldnnConvolution", "SlowConv3D", "SlowConv2D", "Bilinear", "Trilinear",
    "ScaledDotProductFlashAttention", "ScaledDotProductEfficientAttention", "ScaledDotProductFlashAttentionForCpu",
    "ScaledDotProductCudnnAttention",
})  # fmt: skip
"""Operations of a layer with weights, or of attention."""

# Bound once: `is_apart` is asked at every step.
_profiler = torch.autograd.profiler
_dispatch_modes = torch._C._len_torch_dispatch_stack
_transform = torch._C._functorch.peek_interpreter_stack

_SUFFIX = re.compile(r"Backward\d*$")
_kinds: dict[type, str] = {}
_hooks_were_used = False


def note_hooks() -> None:
    """Saved-tensor hooks are in use in this process."""
    global _hooks_were_used
    _hooks_were_used = True


def kind(node: Any) -> str:
    """What a node does, as torch calls it: `Addmm`, `NllLoss`, `AccumulateGrad`; the class of a function in Python."""
    of = type(node)
    found = _kinds.get(of)
    if found is None:
        if of.__name__ == "CppFunction":  # one class for many
            return _SUFFIX.sub("", str(node.name()))
        found = _SUFFIX.sub("", of.__name__)
        if len(_kinds) < 4096:
            _kinds[of] = found
    return found


def is_opaque(node: Any) -> bool:
    """True for a function written in Python: what happens in it, a checkpoint or a compiled model, is not in sight."""
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def inputs(node: Any) -> list[Any]:
    """The nodes that made what a node was given; None for what needs no gradient."""
    return [following for following, _ in node.next_functions]


def only_input(node: Any) -> Any:
    """The one node behind a node; None when there is none, or several."""
    found = [following for following, _ in node.next_functions if following is not None]
    return found[0] if len(found) == 1 else None


def shape(node: Any, index: int = 0) -> list[int] | None:
    """Shape of the `index`-th result of a node; None where torch does not tell it."""
    if kind(node) == "AccumulateGrad":
        return [int(n) for n in node.variable.shape]
    metadata = getattr(node, "_input_metadata", None)
    try:
        return [int(n) for n in metadata[index].shape] if metadata is not None else None
    except (IndexError, RuntimeError, TypeError, ValueError):
        return None


@cache
def attribute(prefix: str, name: str) -> str:
    """The same string each time: CPython caches attributes by the identity of their names, and keeps those names."""
    return prefix + name


def is_readable(node: Any, *names: str) -> bool:
    """True when what a node saved under these names can be read without running anything of the user's."""
    for name in names:
        raw = getattr(node, attribute("_raw_saved_", name), None)
        for one in raw if isinstance(raw, tuple) else (raw,):
            if one is None:
                continue
            # Older torch does not tell: then only while the process has never used such hooks.
            if one.unpack_hook is not None if hasattr(one, "unpack_hook") else _hooks_were_used:
                return False
    return True


def saved(node: Any, name: str) -> Any:
    """What a node saved under a name, detached; None when that is nothing, or cannot be read.

    It cannot when a hook would run, when the graph was freed, or when the tensor was written to since: the backward
    that follows raises then, and says so to the user.
    """
    if not is_readable(node, name):
        return None
    try:
        found = getattr(node, attribute("_saved_", name), None)
    except RuntimeError:
        return None
    return found.detach() if isinstance(found, torch.Tensor) else found


def number(node: Any, name: str) -> float | torch.Tensor | None:
    """A single number that a node saved: a float, or a tensor of shape () while it is on a device."""
    found = saved(node, name)
    if isinstance(found, torch.Tensor):
        if found.numel() != 1 or found.is_complex():
            return None
        return float(found) if found.is_cpu else found.reshape(())
    return float(found) if isinstance(found, (int, float)) else None


def factor(node: Any) -> Any:
    """What has no gradient in a product or a quotient of two: a tensor or a number; None where nothing was kept."""
    return saved(node, "other" if inputs(node)[0] is not None else "self")


def behind(roots: Iterable[Any], limit: int, stops: Container[Any] = ()) -> Iterator[Any]:
    """`roots` and what they hang on, each node once, nearest first, about `limit` of them; `stops` end a way."""
    queue = list(dict.fromkeys(node for node in roots if node is not None))
    seen = set(queue)
    for node in queue:
        yield node
        if node in stops:
            continue
        for following, _ in node.next_functions:
            if following is not None and following not in seen and len(seen) < limit:
                seen.add(following)
                queue.append(following)


def signed(value: int) -> int:
    """A saved integer as it was given: torch tells negative ones modulo 2^64."""
    return value - (1 << 64) if value >= 1 << 63 else value


def below(node: Any, passed: frozenset[str] = SHAPES, limit: int = 16) -> Any:
    """The first node at or behind `node` that is none of `passed`; None when there is none within `limit` nodes."""
    for _ in range(limit):
        if node is None or kind(node) not in passed:
            return node
        node = next((following for following in inputs(node) if following is not None), None)
    return None


def is_apart() -> bool:
    """False while somebody listens to each operation: a profiler, a dispatch mode, a function transform.

    They would hear ours: a count of operations, a trace, a table on stdout would differ.
    """
    return not (_profiler._is_profiler_enabled or _dispatch_modes() or _transform() is not None)
