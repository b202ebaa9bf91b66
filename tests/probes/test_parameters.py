"""Which tensors have values that can be read."""

from __future__ import annotations

import pytest
import torch

from tracker.probes.parameters import is_real


def freed():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.untyped_storage().resize_(0)
    return parameter


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.ones(3), True),
        (torch.nn.Parameter(torch.ones(3)), True),
        (torch.ones(0), True),
        (torch.ones(1).expand(3), True),
        (torch.ones(3, 3).to_sparse(), True),
        (torch.ones(3, device="meta"), False),
        (freed(), False),
    ],
    ids=["plain", "parameter", "empty", "expanded", "sparse", "meta", "freed"],
)
def test_a_tensor_is_real_where_there_are_values_to_read(tensor, expected):
    assert is_real(tensor) is expected


def test_a_tensor_inside_of_vmap_is_none():
    found = []
    torch.func.vmap(lambda x: found.append(is_real(x)) or x)(torch.ones(2, 3))

    assert found == [False]
