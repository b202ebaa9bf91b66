"""Samples are known again by numbers, wherever they come and however they are padded."""

from __future__ import annotations

import pytest
import torch

from tracker.probes.row_prints import beside, row_prints


@pytest.mark.parametrize(
    "rows",
    [
        torch.randn(50, 6),
        torch.randn(50, 6, dtype=torch.float64),
        torch.randn(50, 3, 20, 20).bfloat16(),
        torch.randint(0, 256, (50, 8, 8, 3), dtype=torch.uint8),
        torch.randint(1, 90, (50, 12)),
        (torch.randn(50, 40) > 0).float(),
        torch.randn(50, 4, dtype=torch.complex64),
    ],
    ids=lambda rows: f"{rows.dtype} {tuple(rows.shape)}",
)
def test_equal_rows_have_equal_numbers_in_any_order_and_different_rows_have_others(rows):
    order = torch.randperm(len(rows))

    found = row_prints(rows)

    assert torch.equal(row_prints(rows[order].clone()), found[order])
    assert len(set(found.tolist())) == len(rows)


def test_how_it_lies_in_memory_makes_no_difference_between_batches_that_lie_alike():
    rows = torch.randn(6, 3, 9, 9).to(memory_format=torch.channels_last)

    assert torch.equal(row_prints(rows[2:4].to(memory_format=torch.channels_last)), row_prints(rows)[2:4])


@pytest.mark.parametrize("padding", [0, 7])
def test_padding_makes_no_difference(padding):
    tokens = torch.randint(8, 90, (5, 9))
    padded = [torch.nn.functional.pad(tokens, (0, more), value=padding) for more in (2, 5)]

    assert torch.equal(row_prints(padded[0]), row_prints(padded[1]))


def test_rows_of_few_values_are_told_apart_by_what_else_is_given():
    users, items = torch.arange(6) % 2, torch.arange(6) % 3
    weights = torch.ones(())

    alone, together = row_prints(users), row_prints(users, beside(users, [users, items, weights]))

    assert len(set(alone.tolist())) == 2
    assert len(set(together.tolist())) == 6
    assert row_prints(items, [users]).tolist() != together.tolist()
    assert beside(torch.ones(6, 8), [users, items]) == []
