"""Which tensor is which: by name, by order and shape, fused, transposed, summed, or as the user's table says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.compare.models.planted import Attention, Conv1D, FusedAttention, HandLSTM, OwnNorm
from tracker.compare.models.comparing import NotComparable, compare_models
from tracker.compare.models.matches import Matching, named_tensors
from tracker.compare.models.matching import Matcher
from tracker.compare.models.tables import Names, apply_table
from tracker.compare.models.weights import put_into
from tracker.errors import ConfigError


def matched(a: nn.Module, b: nn.Module, names: Names | None = None) -> Matching:
    kinds = [{name: type(one).__name__ for name, one in model.named_modules()} for model in (a, b)]
    matcher = Matcher(named_tensors(a), named_tensors(b), *kinds)
    apply_table(matcher, names or {})
    matcher.automatic()
    return matcher.finished()


def pairs(found: Matching) -> dict[str, str]:
    return {
        " + ".join(one.a): " + ".join(one.b) + (".T" if one.flips_a or one.flips_b else "") for one in found.matches
    }


class Named(nn.Module):
    """Layers under names that are given."""

    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


def test_layers_of_other_names_go_by_order_and_shape() -> None:
    a = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8))
    b = Named(stem=nn.Linear(4, 8), one=nn.Linear(8, 8), norm=nn.BatchNorm1d(8), two=nn.Linear(8, 8))
    found = pairs(matched(a, b))

    assert found["0.weight"] == "stem.weight"
    assert found["2.bias"] == "one.bias"
    assert found["3.running_var"] == "norm.running_var"
    assert found["4.weight"] == "two.weight"
    assert len(found) == 11


def test_the_end_of_a_name_tells_where_the_order_does_not() -> None:
    a = Named(fc=nn.Linear(8, 8), gate=nn.Linear(8, 8))
    b = Named(body=Named(gate=nn.Linear(8, 8), fc=nn.Linear(8, 8)))

    assert pairs(matched(a, b))["fc.weight"] == "body.fc.weight"


def test_queries_keys_and_values_are_told_by_their_names() -> None:
    linear = [nn.Linear(8, 8) for _ in range(8)]
    a = Named(q=linear[0], k=linear[1], v=linear[2], out=linear[3])
    b = Named(k_proj=linear[4], v_proj=linear[5], q_proj=linear[6], o_proj=linear[7])
    found = pairs(matched(a, b))

    assert [found[f"{part}.weight"] for part in ("q", "k", "v", "out")] == [
        "q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight",
    ]  # fmt: skip


def test_fused_attention_is_split() -> None:
    torchs = pairs(matched(nn.MultiheadAttention(32, 4), Attention(32, 4)))
    gpts = pairs(matched(FusedAttention(), Attention(32, 4)))
    back = pairs(matched(Attention(32, 4), FusedAttention()))

    assert torchs["in_proj_weight"] == "q.weight + k.weight + v.weight"
    assert torchs["out_proj.bias"] == "out.bias"
    assert gpts["c_attn.weight"] == "q.weight + k.weight + v.weight.T"
    assert gpts["c_proj.weight"] == "out.weight.T"  # square: transposed as the others of its class
    assert back["q.bias + k.bias + v.bias"] == "c_attn.bias"


def test_recurrent_layers_are_matched_in_all_their_forms() -> None:
    cells = pairs(matched(nn.LSTM(5, 8, 2), nn.ModuleList([nn.LSTMCell(5, 8), nn.LSTMCell(8, 8)])))
    by_hand = pairs(matched(nn.LSTM(5, 8), HandLSTM(5, 8)))
    one_bias = pairs(matched(Named(x=nn.Linear(5, 32), h=nn.Linear(8, 32, bias=False)), nn.LSTM(5, 8)))
    gates = Named(**{f"{part}_{gate}": nn.Linear(8, 8) for part in "xh" for gate in "fiog"})
    by_gate = pairs(matched(nn.LSTM(8, 8), gates))

    assert cells["weight_hh_l1"] == "1.weight_hh"
    assert by_hand["weight_hh_l0"] == "h2h.weight"
    assert one_bias["x.bias"] == "bias_ih_l0 + bias_hh_l0"
    assert by_gate["weight_ih_l0"] == "x_i.weight + x_f.weight + x_g.weight + x_o.weight"


def test_a_norm_by_hand_has_gamma_and_beta() -> None:
    assert pairs(matched(nn.LayerNorm(8), OwnNorm(8))) == {"weight": "gamma", "bias": "beta"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (nn.MultiheadAttention(32, 4), Attention(32, 4)),
        (Attention(32, 4), FusedAttention()),
        (FusedAttention(), Attention(32, 4)),
        (Conv1D(6, 4), nn.Linear(4, 6)),
        (nn.Conv2d(3, 4, 3), nn.Linear(27, 4)),
        (nn.LSTM(5, 8), HandLSTM(5, 8)),
    ],
)
def test_what_is_put_in_can_be_read_back(a: nn.Module, b: nn.Module) -> None:
    found = matched(a, b)
    tensors = named_tensors(a), named_tensors(b)
    put_into(found.matches, tensors[0], tensors[1])

    assert not found.left_a
    assert not found.left_b
    for one in found.matches:
        ours, theirs = one.value("a", tensors[0]), one.value("b", tensors[1])
        assert torch.equal(ours, theirs.reshape(ours.shape)), one.says


def test_two_biases_take_the_place_of_one() -> None:
    a, b = Named(x=nn.Linear(5, 32), h=nn.Linear(8, 32, bias=False)), nn.LSTM(5, 8)
    put_into(matched(a, b).matches, named_tensors(a), named_tensors(b))

    assert torch.equal(b.bias_ih_l0, a.x.bias)  # type: ignore[arg-type, union-attr]
    assert not b.bias_hh_l0.any()


def test_a_table_names_tensors_modules_and_patterns() -> None:
    a = Named(up=nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]), head=nn.Linear(8, 8))
    b = Named(head2=nn.Linear(8, 8), top=nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]))
    by_module = pairs(matched(a, b, {"up": "top"}))
    by_pattern = pairs(matched(a, b, {"up.*": "top.*", "head": "head2"}))
    crossed = pairs(matched(a, b, {"up.0.weight": "top.1.weight.T"}))
    out = matched(a, b, {"head": None})

    assert by_module["up.1.bias"] == "top.1.bias"
    assert by_module["head.weight"] == "head2.weight"
    assert by_pattern == by_module
    assert crossed["up.0.weight"] == "top.1.weight.T"
    assert not any(one.a[0].startswith("head") for one in out.matches)


def test_a_table_joins_tensors() -> None:
    a, b = Named(all=nn.Linear(4, 12)), Named(x=nn.Linear(4, 4), y=nn.Linear(4, 8))
    found = pairs(matched(a, b, {"all.weight": ["y.weight", "x.weight"], "all.bias": "y.bias, x.bias"}))

    assert found == {"all.weight": "y.weight + x.weight", "all.bias": "y.bias + x.bias"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"fcc.weight": "net.weight"}, "Did you mean 'fc.weight'"),
        ({"fc.weight": "nett.weight"}, "which model B does not have"),
        ({"fc.weight": "net.bias"}, "shape [8, 4]"),
        ({"layer.*": "net"}, "nothing in A is named so"),
        ({"fc": 3}, "Expected {"),
        ([("fc", "net")], "of type list"),
    ],
)
def test_a_wrong_table_is_refused_with_the_reason(names: Names, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        matched(Named(fc=nn.Linear(4, 8)), Named(net=nn.Linear(4, 8)), names)

    assert said in str(error.value)


def test_what_has_no_partner_is_told_with_its_shape() -> None:
    a, b = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    found = compare_models(a, b, torch.randn(3, 4))

    assert found.matching.left_b == {"0.bias": (4,)}
    assert found.first_output is not None
    assert found.first_output.a == "0"
    assert "0.bias of shape [4] is in B only" in found.first_output.hints
    assert found.as_json()["unmatched"] == {"a": {}, "b": {"0.bias": [4]}}


def test_models_without_a_common_shape_cannot_be_compared() -> None:
    with pytest.raises(NotComparable) as error:
        compare_models(nn.Linear(4, 3), nn.Linear(4, 2), torch.randn(3, 4))

    assert "A has weight [3, 4], bias [3]; B has weight [2, 4], bias [2]" in str(error.value)
