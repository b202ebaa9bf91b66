"""What happens in a step, and in which order."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.setup.accumulation_not_averaged import AccumulationNotAveraged
from tracker.rules.setup.amp_overflow import AmpOverflow
from tracker.rules.setup.clip_before_unscale import ClipBeforeUnscale
from tracker.rules.setup.missing_zero_grad import MissingZeroGrad
from tracker.rules.setup.zero_grad_misplaced import ZeroGradMisplaced
from tracker.rules.testing import judge

LOSSES = {"loss": [1.0] * 40}


def loop(**told):
    return {"order": ["forward", "backward", "step"], "grads_at_backward": "none", "discarded": False} | told


@pytest.mark.parametrize(("state", "fires"), [("none", False), ("zero", False), ("kept", True)])
def test_gradients_of_an_earlier_step_are_told(state, fires):
    assert bool(judge(MissingZeroGrad(), **LOSSES, facts={"loop": loop(grads_at_backward=state)})) is fires


def test_a_loop_with_closures_is_not_judged():
    with pytest.raises(NotApplicable):
        judge(MissingZeroGrad(), **LOSSES, facts={"loop": loop(grads_at_backward=None)})


@pytest.mark.parametrize(
    ("told", "batches", "fires"),
    [
        ({"discarded": True}, 1, True),
        ({"wiped": True}, 4, True),
        ({"wiped": True}, 1, False),  # several losses of one batch
        ({}, 4, False),
    ],
)
def test_gradients_that_are_cleared_too_early_are_told(told, batches, fires):
    facts = {"loop": loop(**told), "accumulation": {"backwards": 4, "batches": batches}}

    assert bool(judge(ZeroGradMisplaced(), **LOSSES, facts=facts)) is fires


def window(backwards=4, batches=4, factor=1.0, kind="SGD", reduction="mean"):
    return {
        "accumulation": {"backwards": backwards, "batches": batches},
        "optimizer": [{"class": kind}],
        "evaluation": {"factor": factor},
        "loss": {"function": "mse_loss", "reduction": reduction, "scaled": factor != 1.0},
    }


@pytest.mark.parametrize(("factor", "fires"), [(1.0, True), (0.25, False), (0.3, False), (0.5, True)])
def test_a_sum_over_batches_is_told_from_their_mean(factor, fires):
    assert bool(judge(AccumulationNotAveraged(), **LOSSES, facts=window(factor=factor))) is fires


@pytest.mark.parametrize(
    "change",
    [{"kind": "Adam"}, {"reduction": "sum"}, {"backwards": 2, "batches": 1}, {"backwards": 2, "batches": 0}],
)
def test_where_a_sum_is_harmless_or_no_accumulation_nothing_is_said(change):
    with pytest.raises(NotApplicable):
        judge(AccumulationNotAveraged(), **LOSSES, facts=window(**change))


def test_steps_that_a_scaler_skips_are_no_accumulation():
    skipped = {"step_skipped": {step: {"scale": 1.0} for step in range(0, 40, 2)}}

    assert judge(AccumulationNotAveraged(), **LOSSES, facts=window())
    with pytest.raises(NotApplicable, match="skips"):
        judge(AccumulationNotAveraged(), loss=[1.0] * 30, facts=window(), events=skipped)


def test_a_loss_with_a_factor_that_is_not_known_is_not_judged():
    facts = window() | {"evaluation": {}, "loss": [{"function": "mse_loss", "reduction": "mean", "scaled": True}]}

    with pytest.raises(NotApplicable, match="multiplied"):
        judge(AccumulationNotAveraged(), **LOSSES, facts=facts)


@pytest.mark.parametrize(("scale", "fires"), [(65536.0, True), (1.0, False)])
def test_clipping_scaled_gradients_matters_where_there_is_a_scale(scale, fires):
    facts = {"clipping": [{"kind": "norm", "max_norm": 1.0, "before_unscale": True}]}

    assert bool(judge(ClipBeforeUnscale(), **LOSSES, grad_scale={"": {0: scale}}, facts=facts)) is fires


def test_the_search_for_a_scale_at_the_start_is_healthy():
    skipped = {step: {"scale": 2.0 ** (40 - step)} for step in range(16)}

    assert judge(AmpOverflow(), loss=[1.0] * 300, grad_scale=[2.0**24] * 300, events={"step_skipped": skipped}) == []


def test_a_scale_below_one_is_told_even_if_few_steps_are_skipped_late():
    found = judge(
        AmpOverflow(),
        loss=[1.0] * 300,
        grad_scale={"": {0: 65536.0, 30: 0.25}},
        events={"step_skipped": {30: {"scale": 0.5}}},
    )

    assert found[0].evidence["scale"] == 0.25
