"""Norms of many tensors at once, against those of one at a time."""

import math

import pytest
import torch

from tracker.probes.norms import FEW, SMALL, norm_vectors


def by_index(tensors):
    """The norm of each tensor, in order."""
    found = {}
    for indices, norms in norm_vectors(tensors):
        found.update(zip(indices, norms.tolist(), strict=True))
    return [found[index] for index in range(len(tensors))]


def some(n, *shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n)
    return [torch.randn(*shape, generator=generator).to(dtype) for _ in range(n)]


def slowly(tensors):
    return [math.sqrt(sum(abs(complex(value)) ** 2 for value in tensor.flatten().tolist())) for tensor in tensors]


@pytest.mark.parametrize("n", [1, FEW - 1, FEW, 2 * FEW])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.complex64])
def test_each_norm_is_that_of_its_tensor(n, dtype):
    tensors = some(n, 3, 4, dtype=dtype)

    assert by_index(tensors) == pytest.approx(slowly(tensors), rel=1e-5)


def test_tensors_of_all_kinds_are_told_apart():
    large, empty = some(2, 70, 70), [torch.empty(0), torch.empty(3, 0)]
    sparse = torch.sparse_coo_tensor([[1, 1, 2]], [1.0, 2.0, 4.0], (5,), check_invariants=True)
    strange = [torch.randn(4, 6).t(), torch.tensor(3.0), torch.ones(2, dtype=torch.float64)]
    tensors = [*large, *some(FEW, 5), *empty, sparse, *strange, *some(FEW, 2, dtype=torch.float16)]

    assert large[0].numel() > SMALL
    assert by_index(tensors) == pytest.approx(
        slowly([tensor.to_dense() if tensor.is_sparse else tensor for tensor in tensors]), rel=1e-5
    )


@pytest.mark.parametrize("n", [2, FEW])
def test_squares_that_overflow_and_underflow_do_no_harm(n):
    tensors = [torch.tensor([1e30, 1e30]), torch.tensor([3e-30, 4e-30]), *some(n, 2)]
    found = by_index(tensors)

    assert found[0] == pytest.approx(math.sqrt(2) * 1e30, rel=1e-5)
    assert found[2:] == pytest.approx(slowly(tensors[2:]), rel=1e-5)
    if n == FEW:
        assert found[1] == pytest.approx(5e-30, rel=1e-5)


@pytest.mark.parametrize("n", [2, FEW])
def test_a_value_that_is_not_finite_stays_with_its_tensor(n):
    tensors = [*some(n, 2), torch.tensor([math.nan, 1.0]), torch.tensor([1.0, -math.inf]), torch.ones(1)]
    found = by_index(tensors)

    assert math.isnan(found[n])
    assert found[n + 1 :] == [math.inf, 1.0]
    assert all(math.isfinite(one) for one in found[:n])


def test_no_tensor_is_written_to():
    tensors = [*some(FEW, 3), torch.nn.Parameter(torch.ones(2))]
    before = [(tensor.detach().clone(), tensor._version) for tensor in tensors]
    by_index(tensors)

    assert all(torch.equal(a, b) and a._version == v for a, (b, v) in zip(tensors, before, strict=True))
