"""What is said of gradients that are not the derivative, and how loudly."""

import pytest

from tracker.rules import Severity
from tracker.rules.engine import NotApplicable
from tracker.rules.preflight.severed_weights import SeveredWeights
from tracker.rules.preflight.uneasy_gradient import UneasyGradient
from tracker.rules.preflight.wrong_gradient import WrongGradient
from tracker.rules.testing import judge

FACT = "drill/gradient-check"


def function(errors, **others):
    worst = max(errors, default=None)
    return {"name": "Own", "dtype": "float64", "error": worst, "entries": len(errors), "errors": errors, **others}


def said(rule, *functions, **others):
    return judge(rule, facts={FACT: {"functions": list(functions), **others}})


@pytest.mark.parametrize(
    ("errors", "is_wrong"),
    [([0.011] * 2, True), ([0.009] * 2, False), ([0.5, 1e-9, 1e-9], False), ([0.5], True), ([0.5, 0.5, 0.0], True)],
)  # fmt: skip
def test_two_entries_beyond_the_tolerance_are_wrong_or_all_there_are(errors, is_wrong):
    assert bool(said(WrongGradient(), function(errors))) == is_wrong


def test_float32_is_given_more_room():
    errors = [0.05, 0.05]

    assert not said(WrongGradient(), function(errors, dtype="float32"))
    assert said(WrongGradient(), function(errors))


@pytest.mark.parametrize(
    "meant",
    [
        {"identity": True},
        {"gated": True},
        {"name": "StraightThroughRound"},
        {"name": "SurrogateSpike"},
        {"own_upstream": 1e-9},
        {"inputs": [{"flat": 9, "moving": 0, "sloped": 1}, {"flat": 0, "moving": 4, "sloped": 0}]},
    ],
)
def test_what_is_meant_is_a_note(meant):
    row = function([1.0, 1.0, 1.0], **meant)

    assert not said(WrongGradient(), row)
    assert len(said(UneasyGradient(), row)) == 1
    assert UneasyGradient.severity == Severity.INFO


@pytest.mark.parametrize(
    "counts",
    [{"flat": 6, "moving": 6, "sloped": 0}, {"flat": 6, "moving": 0, "sloped": 6}, {"flat": 0, "sloped": 9}],
)  # fmt: skip
def test_a_mask_that_is_missing_or_upside_down_is_not_meant(counts):
    row = function([1.0] * 6, inputs=[counts])

    assert len(said(WrongGradient(), row)) == 1
    assert not said(UneasyGradient(), row)


def test_the_advice_tells_what_is_amiss():
    def advice(analytic, numeric):
        (finding,) = said(WrongGradient(), function([0.5, 0.5], analytic=analytic, numeric=numeric))
        return finding.advice[0]

    assert "a sign is amiss" in advice(-2.0, 2.0)
    assert "0.5 times" in advice(1.0, 2.0)
    assert "no gradient where the output changes" in advice(0.0, 2.0)
    assert "mask of a ReLU" in advice(1.0, 0.0)


def test_writing_in_place_is_said_only_where_a_gradient_is_wrong():
    tensor = {"name": "weight", "error": 0.3, "entries": 2, "errors": [0.3, 0.2]}
    fine = {**tensor, "errors": [1e-8, 1e-8]}

    assert said(WrongGradient(), dtype="float64", entries=2, in_place=["clamp_"], worst=[tensor])
    assert not said(WrongGradient(), dtype="float64", entries=2, in_place=["clamp_"], worst=[fine])
    assert not said(WrongGradient(), dtype="float64", entries=2, in_place=[], worst=[tensor])
    assert said(UneasyGradient(), dtype="float64", entries=2, in_place=[], worst=[tensor])


def test_a_single_tensor_that_is_cut_off_may_be_a_codebook():
    assert not said(SeveredWeights(), all_tensors=4, entries=9, cut=["codes"])
    assert said(SeveredWeights(), all_tensors=4, entries=9, cut=["first.weight", "first.bias"])


@pytest.mark.parametrize("rule", [WrongGradient(), UneasyGradient(), SeveredWeights()])
def test_nothing_compared_is_not_clear(rule):
    with pytest.raises(NotApplicable):
        said(rule, {"name": "Own", "skipped": "RuntimeError"}, entries=0, all_tensors=3)
