"""What the names of parameters say: the same part has many names in the models that people write."""

from __future__ import annotations

import re
from collections.abc import Sequence

LEAVES = {
    "gamma": "weight", "g": "weight", "scale": "weight", "w": "weight", "kernel": "weight", "embedding": "weight",
    "beta": "bias", "b": "bias", "shift": "bias", "moving_mean": "running_mean", "moving_var": "running_var",
    "moving_variance": "running_var",
}  # fmt: skip
"""Last parts of names, and what torch calls them."""

_QUERY = ("q", "query", "wq", "bq", "queries")
_KEY = ("k", "key", "wk", "bk", "keys")
_VALUE = ("v", "value", "wv", "bv", "values")
_OUT = ("o", "out", "wo", "bo", "dense", "proj", "outproj", "projection", "output")
ROLES = {
    **dict.fromkeys(_QUERY, "q"),
    **dict.fromkeys(_KEY, "k"),
    **dict.fromkeys(_VALUE, "v"),
    **dict.fromkeys(_OUT, "o"),
}
"""Words for the parts of attention."""

GATES = (
    ("i", "input", "ii", "hi", "xi", "wi"),
    ("f", "forget", "if", "hf", "xf", "wf"),
    ("g", "c", "cell", "candidate", "ig", "hg", "xg", "xc", "hc", "wg", "wc"),
    ("o", "output", "io", "ho", "xo", "wo"),
)
"""Words for the gates of an LSTM, in the order of torch's weights."""

_FUSED_ORDER = {"q": 0, "k": 1, "v": 2}


def parent(name: str) -> str:
    """`encoder.fc` of `encoder.fc.weight`; empty for what the model owns itself."""
    return name.rpartition(".")[0]


def leaf(name: str) -> str:
    """The last part as torch calls it, without the layer of a recurrent one: `weight_ih` of `rnn.weight_ih_l0`."""
    last = re.sub(r"_l0$", "", name.rpartition(".")[2])
    return LEAVES.get(last.lower(), last)


def container(name: str) -> str:
    """What holds the part: `attn` of `attn.q.weight`, and of `attn.w_q` too."""
    return parent(parent(name)) if _is_of_a_layer(name) else parent(name)


def role(name: str) -> str:
    """`q`, `k`, `v` or `o` for a part of attention, by its name or that of the module that owns it; else empty."""
    return ROLES.get(_word(name), "")


def place_in_fused(names: Sequence[str]) -> list[str] | None:
    """The names in the order in which torch joins them, when each says its part: q, k, v, or i, f, g, o."""
    roles = [role(name) for name in names]
    if sorted(roles) in (["k", "q", "v"], ["k", "v"]):
        return sorted(names, key=lambda name: _FUSED_ORDER[role(name)])
    if len(names) == 4:
        places = [next((at for at, gate in enumerate(GATES) if _word(name) in gate), -1) for name in names]
        if sorted(places) == [0, 1, 2, 3]:
            return [names[places.index(at)] for at in range(4)]
    return None


def _is_of_a_layer(name: str) -> bool:
    return leaf(name) in ("weight", "bias") or name.rpartition(".")[2].startswith(("running_", "weight_", "bias_"))


def _word(name: str) -> str:
    """`q` of `attn.q_proj.weight`, `to_q.weight`, `attn.W_q`, `linear_q.bias`."""
    part = (parent(name) if _is_of_a_layer(name) else name).rpartition(".")[2].lower()
    bare = re.sub(r"(_|^)(proj|projection|linear|lin|layer|w|b|u|to|fc|gate|c)(?=_|$)", "", part).strip("_")
    return (bare or part).replace("_", "")
