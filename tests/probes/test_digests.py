"""Digests of samples and batches."""

import torch

from tracker.probes.digests import of_samples


def test_a_single_row_taken_from_a_wider_tensor_has_the_digest_of_its_values():
    table = torch.arange(20).reshape(10, 2)

    assert of_samples(table[:1, 0], 4) == of_samples(table[:1, 0].clone(), 4)
    assert of_samples(table[1:2, 0], 4) != of_samples(table[:1, 0], 4)


def test_each_row_has_a_digest_of_its_own():
    rows = torch.tensor([[1.0, 2.0], [1.0, 3.0], [1.0, 2.0]])

    first, second, third = of_samples(rows, 3)
    assert first == third != second
