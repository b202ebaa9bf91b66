"""Dead and saturated units, collapsed layers, scales and running statistics."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.activations.activation_scale import ActivationScale
from tracker.rules.activations.collapsed_representation import CollapsedRepresentation
from tracker.rules.activations.dead_units import DeadUnits
from tracker.rules.activations.norm_statistics import NormStatistics
from tracker.rules.activations.saturated_units import SaturatedUnits
from tracker.rules.testing import judge

FLAT = [2.3 + 0.01 * (i % 3) for i in range(600)]
FALLING = [2.3 * 0.995**i for i in range(600)]
HALF = [2.3 - 1.1 * min(1.0, i / 300) for i in range(600)]


def end_of(n):
    """The judgement at the end of a run of `n` losses."""
    return {"judge": {n - 1: {"phase": "run"}}}


@pytest.mark.parametrize(
    ("loss", "dead", "fires"),
    [
        (FLAT, [0.1] * 5 + [0.6] * 45, True),
        (FLAT, [0.55] * 50, False),
        (FLAT, [0.1] * 40 + [0.6] * 10, False),
        (HALF, [0.1] * 5 + [0.6] * 45, False),
        (HALF, [0.1] * 5 + [0.95] * 45, True),
        (FALLING, [0.95] * 50, False),
        (FLAT, [0.1] * 5 + [0.45] * 45, False),
        (FLAT, [0.95] * 50, True),
    ],
)
def test_dead_units_count_when_they_last_and_the_loss_shows_it(loss, dead, fires):
    found = judge(DeadUnits(), loss=loss, **{"output/dead": {"relu": dead, "other": [0.2] * 50}})

    assert [finding.subject for finding in found] == (["relu"] if fires else [])


def test_a_deep_network_may_still_take_off_before_its_end():
    case = {"loss": FLAT[:120], "output/dead": {"relu": [0.1] * 5 + [0.95] * 20}}
    with pytest.raises(NotApplicable, match="take off"):
        judge(DeadUnits(), **case)

    assert judge(DeadUnits(), **case, events=end_of(120))


def test_the_first_of_several_dead_layers_is_named_since_when_it_is_dead():
    layers = {"relu10": [0.1] * 10 + [0.97] * 40, "relu2": [0.1] * 20 + [0.95] * 30}
    (finding,) = judge(DeadUnits(), loss=FLAT, **{"output/dead": layers})

    assert finding.subject == "relu2"
    assert finding.step == 20
    assert "(and of 1 more)" in finding.message


@pytest.mark.parametrize(
    ("loss", "start", "now", "fires"),
    [
        (FLAT, 0.0, 0.6, True),
        (FLAT, 0.0, 0.4, False),
        (HALF, 0.0, 0.8, False),
        (HALF, 0.7, 0.8, True),
        (FALLING, 0.7, 0.8, False),
    ],
)
def test_saturation_from_the_start_is_reported_earlier_than_what_came_with_learning(loss, start, now, fires):
    found = judge(SaturatedUnits(), loss=loss, **{"output/saturation": {"tanh": [start] * 20 + [now] * 30}})

    assert bool(found) is fires


def test_a_layer_collapses_when_its_output_no_longer_depends_on_the_input():
    sizes = {"fc1": [1.0] * 50, "fc2": [1.0] * 50}
    spreads = {"fc1": [0.3] * 50, "fc2": [0.2] * 20 + [1e-9] * 30}
    case = {"output/rms": sizes, "output/variance": spreads}
    (finding,) = judge(CollapsedRepresentation(), loss=FLAT, **case)

    assert finding.subject == "fc2"
    assert finding.step == 20
    assert judge(CollapsedRepresentation(), loss=FALLING, **case) == []


def test_inputs_that_are_all_alike_collapse_no_layer():
    sizes = {"fc1": [1.0] * 50, "fc2": [1.0] * 50}
    same = {"output/rms": sizes, "output/variance": {"fc1": [1e-9] * 50, "fc2": [1e-9] * 50}}

    assert judge(CollapsedRepresentation(), loss=FLAT, **same) == []


@pytest.mark.parametrize(
    ("scales", "named", "word"), [((1.0, 30.0, 900.0), "fc3", "grow"), ((1.0, 0.03, 1e-3), "fc3", "shrink")]
)
def test_a_signal_that_changes_by_orders_of_magnitude_names_where_it_arrives(scales, named, word):
    rows = {f"fc{n + 1}": [scale] * 50 for n, scale in enumerate(scales)}
    (finding,) = judge(ActivationScale(), loss=FLAT, **{"output/rms": rows})

    assert finding.subject == named
    assert f"outputs {word}" in finding.message
    assert judge(ActivationScale(), loss=FALLING, **{"output/rms": rows}) == []


def test_a_branch_that_begins_at_zero_is_not_compared():
    rows = {"a": [1.0] * 40, "adapter": [0.0] + [1e-6] * 39, "b": [0.5] * 40, "c": [2.0] * 40}

    assert judge(ActivationScale(), loss=FLAT, **{"output/rms": rows}) == []


def test_dead_layers_and_scales_that_recover_are_no_matter_of_scale():
    rows = {"fc1": [1.0] * 50, "fc2": [1.0] * 50, "relu": [0.0] * 50, "fc3": [1.0] * 50}
    recovered = {**rows, "relu": [1e-4] * 10 + [1.0] * 40}

    assert judge(ActivationScale(), loss=FLAT, **{"output/rms": rows}) == []
    assert judge(ActivationScale(), loss=FLAT, **{"output/rms": recovered}) == []


def statistics(low, high):
    return {"norm/var_low": {"bn": low}, "norm/var_high": {"bn": high}}


def test_running_statistics_that_stand_while_the_layer_trains_are_found():
    mode = {"mode": {0: {"kind": "training", "training": True, "deviating": []}}}
    frozen = {"mode": {0: {"kind": "training", "training": True, "deviating": ["bn"]}}}
    still = statistics([0.9] * 20, [1.4] * 20)

    assert judge(NormStatistics(), **still, events=mode)
    assert judge(NormStatistics(), **still, events=frozen) == []
    assert judge(NormStatistics(), **still) == []
    assert judge(NormStatistics(), **statistics([1.0] * 20, [1.0] * 20))


def test_normalisation_over_one_value_is_found_with_and_without_running_statistics():
    alone = {"graph": {"of_one_value": [{"kind": "layer norm", "layer": "norm.weight"}]}}
    (finding,) = judge(NormStatistics(), facts=alone)

    assert finding.subject == "norm"
    assert judge(NormStatistics(), **statistics(MOVING, MOVING), facts=alone) == [finding]
    with pytest.raises(NotApplicable, match="not observed"):
        judge(NormStatistics(), facts={"graph": {"of_one_value": []}})


MOVING = [1.0 + 0.1 * (i % 3) for i in range(20)]
GAP = {"accuracy/train": [0.5, 0.9, 0.98, 0.99], "accuracy/val": [0.6, 0.8, 0.7, 0.9]}
NO_GAP = {**GAP, "accuracy/val": [0.6, 0.8, 0.97, 0.98]}
WORSE = {"loss/epoch": [1.0, 0.8, 0.7, 0.6], "loss/val": [1.0, 0.9, 1.4, 0.7]}


@pytest.mark.parametrize(
    ("momentum", "samples", "rows", "deviating", "word"),
    [
        (0.99, 16.0, GAP, [], "latest batch"),
        (0.99, 16.0, {}, [], "latest batch"),
        (0.99, 16.0, NO_GAP, [], ""),
        (0.99, 512.0, GAP, [], ""),
        (0.99, 16.0, GAP, ["bn"], ""),
        (1.0, 16.0, GAP, [], ""),  # on purpose
        (0.5, 16.0, GAP, [], ""),
        (0.001, 16.0, GAP, [], "still those it was made with"),
        (0.001, 16.0, NO_GAP, [], ""),
        (0.2, 16.0, GAP, [], ""),
        (0.99, 16.0, WORSE, [], "latest batch"),
        (0.99, 16.0, {**WORSE, "loss/val": [1.0, 0.9, 0.8, 0.7]}, [], ""),
    ],
)
def test_a_momentum_of_the_other_convention_is_found_by_what_it_does(momentum, samples, rows, deviating, word):
    found = judge(
        NormStatistics(),
        **statistics(MOVING, MOVING),
        **rows,
        batch_size={"train": [samples]},
        facts={"model": {"": {"layers": {"bn": {"class": "BatchNorm2d", "momentum": momentum}}}}},
        events={
            "mode": {0: {"kind": "training", "training": True, "deviating": deviating}},
            "judge": {19: {"phase": "run"}},
        },
    )

    assert [word in finding.message for finding in found] == ([True] if word else [])


def test_a_running_variance_out_of_all_scale_is_found():
    moving = [1.0 + i for i in range(20)]
    (finding,) = judge(NormStatistics(), **statistics(moving, [10.0**i for i in range(20)]))

    assert finding.subject == "bn"
    assert judge(NormStatistics(), **statistics(moving, [2.0 * v for v in moving])) == []
