"""Edges of the rule on near twins."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.data.near_leakage import NearLeakage
from tracker.rules.testing import judge


def near(twins, samples=200, kind="table", own=0, dimension=6.0, **changes):
    about = {"samples": samples, "twins": twins, "distance": 0.1, "usual": 0.5, "example": [3, None], **changes}
    fact = {"kind": kind, "train_samples": 1000, "train_twins": own, "dimension": dimension, "by_chance": 0.005}
    return {"facts": {"near": {**fact, "val": about}}}


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (near(10), True),
        (near(9), False),  # 4.5 %
        (near(7, samples=50), False),  # too few to tell
        (near(8, samples=50), True),
        (near(40, own=66), True),
        (near(40, own=67), False),  # the training has a third as many
        (near(40, own=300, kind="signal"), True),  # images that were copied before they were split
        (near(40, own=300, kind="signal", dimension=3.9), False),
    ],
)
def test_there_have_to_be_many_more_than_by_chance(case, fires):
    assert bool(judge(NearLeakage(), **case)) is fires


def test_it_says_how_near_they_are_and_names_a_pair():
    [finding] = judge(NearLeakage(), **near(40, example=[3, 17]))

    assert finding.message == (
        "40 of 200 samples of val are near twins of training samples, 20.0%, at 0.1 where 0.5 is usual; 0.5% expected "
        "by chance (sample 3 is nearly sample 17 of the training)"
    )


def test_a_pair_without_indices_is_not_named():
    [finding] = judge(NearLeakage(), **near(40))

    assert finding.message.endswith("expected by chance")


def test_it_says_how_it_is_asked_for():
    with pytest.raises(NotApplicable, match=r"set near_leakage = true in \[tool.tracker\]"):
        judge(NearLeakage(), loss=[1.0])


def test_it_says_why_nothing_was_compared():
    fact = {"kind": None, "train_samples": 0, "why": "samples of whole numbers, such as token ids, are not covered"}

    with pytest.raises(NotApplicable, match="token ids"):
        judge(NearLeakage(), facts={"near": fact})


def test_without_a_held_out_set_there_is_nothing_to_compare_with():
    fact = near(40)["facts"]["near"]
    del fact["val"]

    with pytest.raises(NotApplicable, match="no held-out samples were compared"):
        judge(NearLeakage(), facts={"near": fact})
