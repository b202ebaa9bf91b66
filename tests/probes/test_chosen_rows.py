"""Of all rows that batches offer the few with the smallest keys are chosen, whatever the batches are."""

from __future__ import annotations

import pytest
import torch

from tracker.probes.chosen_rows import ChosenRows


@pytest.mark.parametrize("size", [1, 3, 40, 200])
def test_the_smallest_keys_of_all_batches_are_chosen_with_what_belongs_to_them(size):
    keys = torch.randperm(200) - 100
    chosen, copied = ChosenRows(5), 0

    for start in range(0, 200, size):
        part = keys[start : start + size]

        def fields_of(places, part=part):
            nonlocal copied
            copied += len(places)
            return {"value": part[places] * 2.0}

        chosen.offer(part, fields_of)

    assert chosen.fields()["value"].tolist() == [-200, -198, -196, -194, -192]
    assert copied < 60


def test_rows_that_are_not_below_a_bar_are_not_taken():
    chosen = ChosenRows(5, below=1)

    for keys in (torch.tensor([1, 1]), torch.tensor([1, 0, 1]), torch.tensor([], dtype=torch.int64)):
        chosen.offer(keys, lambda places, keys=keys: {"place": places})

    assert chosen.fields()["place"].tolist() == [1]
    assert ChosenRows(5).fields() == {}


def test_rows_that_cannot_lie_beside_the_others_are_passed_over():
    chosen = ChosenRows(5)

    for width in (3, 4):
        chosen.offer(torch.arange(2), lambda places, width=width: {"row": torch.ones(len(places), width)})

    assert chosen.fields()["row"].shape == (2, 3)
