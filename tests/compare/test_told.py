"""Command lines taken apart into options, and one option taken from another command line."""

import pytest

from tracker.compare.arguments import argument_differences, options_of, with_option
from tracker.compare.hunks import Hunk
from tracker.compare.told import mentions


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--lr", "0.1", "--quick"], {"--lr": ["0.1"], "--quick": []}),
        (["--lr=0.1", "-v"], {"--lr": ["0.1"], "-v": []}),
        (["train", "data"], {"1": ["train"], "2": ["data"]}),
        (["optimizer.lr=0.1", "+model=big"], {"optimizer.lr": ["0.1"], "+model": ["big"]}),
        (["--shift", "-1", "--size", "2", "3"], {"--shift": ["-1"], "--size": ["2", "3"]}),
        (["--layer", "1", "--layer", "2"], None),
    ],
)
def test_words_are_put_under_their_options(words, options):
    assert options_of(words) == options


def test_each_option_that_differs_is_a_difference_of_its_own():
    found = argument_differences(["--lr", "0.1", "--seed", "1", "x"], ["--lr", "0.2", "--seed", "1", "--fast"])

    assert {one.id: (one.a, one.b) for one in found} == {
        "args:--fast": (None, "given"),
        "args:--lr": ("0.1", "0.2"),
        "args:--seed": ("1 x", "1"),
    }


def test_options_that_cannot_be_told_apart_are_one_difference():
    [one] = argument_differences(["-x", "1", "-x", "2"], ["-x", "2", "-x", "1"])

    assert (one.id, one.a, one.b) == ("args", "-x 1 -x 2", "-x 2 -x 1")


@pytest.mark.parametrize(
    ("a", "b", "name", "expected"),
    [
        (["--lr", "0.1", "--seed", "1"], ["--seed=2", "--lr", "3"], "--seed", ["--lr", "0.1", "--seed=2"]),
        (["--lr", "0.1"], ["--fast"], "--fast", ["--lr", "0.1", "--fast"]),
        (["--lr", "0.1", "--fast"], ["--lr", "0.2"], "--fast", ["--lr", "0.1"]),
        (["one", "two"], ["three", "four"], "2", ["one", "four"]),
    ],
)
def test_one_option_is_taken_and_the_others_stay(a, b, name, expected):
    assert with_option(a, b, name) == expected


@pytest.mark.parametrize(
    ("removed", "added", "a", "b", "is_said"),
    [
        ("lr=1e-1,", "lr=0.2,", "0.1", "0.2", True),
        ("depth = 3", "depth = 4", "3", "4", True),
        ("depth = 3", "depth = 4", "3", "5", False),
        ("opt = SGD(p)", "opt = Adam(p)", "torch.optim.sgd.SGD", "torch.optim.adam.Adam", True),
        ("swap(1, 2)", "swap(2, 1)", "1", "2", False),
    ],
)
def test_a_changed_line_is_known_to_say_a_value(removed, added, a, b, is_said):
    hunk = Hunk("t.py", 1, 1, 1, 1, (removed,), (added,))

    assert mentions(hunk, a, b) is is_said
