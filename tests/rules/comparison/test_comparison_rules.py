"""Edges of the rules that compare a run with those before it."""

import pytest

from tracker.rules import NotApplicable, Severity
from tracker.rules.comparison.better_than_earlier_runs import BetterThanEarlierRuns
from tracker.rules.comparison.duplicate_run import DuplicateRun
from tracker.rules.comparison.run_regression import RunRegression
from tracker.rules.comparison.unlike_earlier_runs import UnlikeEarlierRuns
from tracker.rules.testing import judge

USUAL = [2.0, 1.2, 0.8, 0.6, 0.5, 0.45]


def family(signal="epoch_loss", curve=USUAL, n=6, spread=0.01, **more):
    return {f"run{i}": {signal: [value + spread * (i - n / 2) for value in curve], **more} for i in range(n)}


@pytest.mark.parametrize(
    ("curve", "fires"),
    [
        (USUAL, False),
        ([value + 0.1 for value in USUAL], False),  # within the margin of a fifth of the fall
        ([2.0, 1.9, 1.8, 1.7, 1.6, 1.5], True),
        ([2.0, 1.9, 1.8, 1.2, 0.6, 0.46], False),  # late, and there in the end
        ([value - 0.4 for value in USUAL], False),  # better
        ([2.0, 1.2, 0.8, 0.6, 0.5, 2.5], False),  # one point
        ([2.0, 1.2, 0.8, 0.6, 2.4, 2.5], True),
    ],
)
def test_a_training_loss_far_above_its_family_is_found(curve, fires):
    assert bool(judge(UnlikeEarlierRuns(), epochs=6, epoch_loss=curve, peers=family())) is fires


@pytest.mark.parametrize(("factor", "fires"), [(1.0, False), (4.0, False), (8.0, True), (0.01, False)])
def test_a_gradient_norm_must_be_several_times_the_largest(factor, fires):
    norms = [1.0, 1.2, 0.9, 1.1, 1.0, 0.8]
    found = judge(
        UnlikeEarlierRuns(),
        grad_norm={"": [factor * norm for norm in norms]},
        peers={f"run{i}": {"grad_norm": {"": [norm * (1 + 0.02 * i) for norm in norms]}} for i in range(6)},
    )

    assert [one.subject for one in found] == (["grad_norm"] if fires else [])


def test_small_norms_at_the_end_may_differ_by_much():
    falling = [1.0, 0.5, 0.1, 0.01, 0.001, 0.0001]
    found = judge(
        UnlikeEarlierRuns(),
        grad_norm={"": [1.0, 0.6, 0.3, 0.2, 0.1, 0.05]},
        peers={f"run{i}": {"grad_norm": {"": [norm * (1 + 0.02 * i) for norm in falling]}} for i in range(6)},
    )

    assert found == []


def test_runs_of_other_lengths_are_compared_at_equal_steps():
    longer = {f"run{i}": {"grad_norm": {"": [1.0] * 40}} for i in range(5)}
    shorter = {f"short{i}": {"grad_norm": {"": [1.0] * 3}} for i in range(5)}

    found = judge(UnlikeEarlierRuns(), grad_norm={"": [20.0] * 10}, peers=longer | shorter)

    assert found[0].evidence["n_runs"] == 5


@pytest.mark.parametrize("rule", [UnlikeEarlierRuns, RunRegression, BetterThanEarlierRuns])
def test_four_earlier_runs_are_too_few(rule):
    with pytest.raises(NotApplicable, match=r"4 earlier runs to compare with; 5 are needed"):
        judge(rule(), epochs=6, epoch_loss=[9.0] * 6, val_accuracy=[0.1] * 6, peers=family(n=4))


def test_what_was_changed_is_named():
    params = {"facts": {"family": {"params": {"lr": "0.1", "seed": "1"}}}}
    peers = {f"run{i}": {"epoch_loss": USUAL, "facts": {"family": {"params": {"lr": "0.01"}}}} for i in range(6)}

    (finding,) = judge(UnlikeEarlierRuns(), epochs=6, epoch_loss=[5.0] * 6, peers=peers, **params)

    assert finding.message.endswith("Changed: lr is 0.1, not 0.01")
    assert finding.advice[0] == "Undo what was changed: lr is 0.1, not 0.01."


ACCURACIES = [0.5, 0.8, 0.9, 0.92]


@pytest.mark.parametrize(("best", "fires"), [(0.92, False), (0.87, False), (0.80, True), (0.99, False)])
def test_an_accuracy_below_every_earlier_one_is_a_regression(best, fires):
    peers = family("val_accuracy", ACCURACIES, spread=0.002)
    found = judge(RunRegression(), epochs=4, val_accuracy=[0.5, 0.6, 0.7, best], peers=peers)

    assert bool(found) is fires


def test_a_family_that_scatters_has_a_wide_band():
    peers = family("val_accuracy", ACCURACIES, spread=0.04)

    assert judge(RunRegression(), epochs=4, val_accuracy=[0.5, 0.6, 0.7, 0.75], peers=peers) == []


def test_a_loss_is_judged_where_there_is_no_accuracy():
    peers = family("val_loss", USUAL, spread=0.01)

    (finding,) = judge(RunRegression(), epochs=6, val_loss=[2.0, 1.5, 1.2, 1.1, 1.0, 1.0], peers=peers)
    assert finding.subject == "loss/val"


def test_a_run_that_was_ended_early_is_not_judged_by_its_result():
    peers = family("val_accuracy", [0.5, 0.8, 0.9, 0.92], epoch_len=10)

    with pytest.raises(NotApplicable, match="the run ended at step 9"):
        judge(RunRegression(), epoch_len=10, val_accuracy=[0.3], peers=peers)


def test_a_better_result_is_information():
    peers = family("val_accuracy", ACCURACIES, spread=0.002)

    (finding,) = judge(BetterThanEarlierRuns(), epochs=4, val_accuracy=[0.5, 0.9, 0.95, 0.99], peers=peers)

    assert BetterThanEarlierRuns.severity is Severity.INFO
    assert "0.99; the 6 earlier runs had 0.914 to 0.924" in finding.message


def what(seed="1", rate="0.1", code="a1"):
    return {"family": {"code": code, "seed": {"torch": seed}, "params": {"lr": rate}}}


@pytest.mark.parametrize(("change", "fires"), [({}, True), ({"seed": "2"}, False), ({"rate": "1"}, False)])
def test_code_parameters_and_seed_make_a_duplicate(change, fires):
    peers = {"0123456789": {"epoch_loss": [1.0, 0.5], "facts": what(**change)}}

    found = judge(DuplicateRun(), epoch_loss=[1.0, 0.5], facts=what(), peers=peers)

    assert bool(found) is fires


@pytest.mark.parametrize(("last", "said"), [(0.5, "0.5 there"), (0.6, "the same was expected")])
def test_a_duplicate_with_another_result_says_so(last, said):
    peers = {"0123456789": {"epoch_loss": [1.0, last], "facts": what()}}

    (finding,) = judge(DuplicateRun(), epoch_loss=[1.0, 0.5], facts=what(), peers=peers)

    assert finding.message.endswith(said)


def test_a_run_without_a_seed_is_no_duplicate():
    facts = {"family": {"code": "a1", "seed": None, "params": {}}}

    with pytest.raises(NotApplicable, match="not seeded"):
        judge(DuplicateRun(), facts=facts, peers={"run": {"facts": facts}})
