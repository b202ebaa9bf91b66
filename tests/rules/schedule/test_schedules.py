import pytest

from tracker.rules import NotApplicable
from tracker.rules.schedule.schedule_collapsed import ScheduleCollapsed
from tracker.rules.schedule.scheduler_before_optimizer import SchedulerBeforeOptimizer
from tracker.rules.schedule.scheduler_never_steps import SchedulerNeverSteps
from tracker.rules.schedule.scheduler_step_unit import SchedulerStepUnit
from tracker.rules.testing import judge


def scheduler(name="StepLR", per="epoch", steps=None, made=200, epochs=10, **settings):
    steps = {"epoch": epochs, "step": made, "never": 0}[per] if steps is None else steps
    return {
        "class": name, "settings": settings, "optimizer": 0, "steps": steps, "optimizer_steps": made,
        "epochs": epochs, "per": per, "before_optimizer": False,
    }  # fmt: skip


def unit(one, **case):
    return judge(SchedulerStepUnit(), loss=[1.0] * 200, facts={"schedulers": [one]}, **case)


@pytest.mark.parametrize(
    ("one", "fires"),
    [
        (scheduler("CosineAnnealingLR", "step", T_max=10), True),
        (scheduler("CosineAnnealingLR", "step", T_max=200), False),
        (scheduler("CosineAnnealingLR", "epoch", T_max=10), False),
        (scheduler("CosineAnnealingLR", "epoch", T_max=200), True),
        (scheduler("CosineAnnealingLR", "epoch", T_max=50), False),  # stopped early
        (scheduler("CosineAnnealingWarmRestarts", "step", T_0=10), False),
        (scheduler("CyclicLR", "step", total_size=20), False),
        (scheduler("StepLR", "step", step_size=3, gamma=0.1), True),
        (scheduler("StepLR", "step", step_size=60, gamma=0.1), False),
        (scheduler("StepLR", "epoch", step_size=3, gamma=0.1), False),
        (scheduler("MultiStepLR", "step", milestones={"4": 1, "8": 1}, gamma=0.1), True),
        (scheduler("MultiStepLR", "step", milestones=[100, 150], gamma=0.1), False),
        (scheduler("ExponentialLR", "step", gamma=0.9), True),
        (scheduler("ExponentialLR", "step", gamma=0.995), False),
        (scheduler("ExponentialLR", "epoch", gamma=0.5), False),
        (scheduler("PolynomialLR", "step", total_iters=10, power=1.0), True),
        (scheduler("PolynomialLR", "step", total_iters=200, power=1.0), False),
        (scheduler("OneCycleLR", "epoch", total_steps=200), True),
        (scheduler("OneCycleLR", "step", total_steps=200), False),
        (scheduler("OneCycleLR", "epoch", total_steps=10), False),
        (scheduler("LinearLR", "epoch", start_factor=0.01, end_factor=1.0, total_iters=100), True),
        (scheduler("LinearLR", "epoch", start_factor=1.0, end_factor=0.1, total_iters=100), False),
        (scheduler("LambdaLR", "step"), False),
        (scheduler("CosineAnnealingLR", "step", epochs=1, T_max=20), True),
        (scheduler("OneCycleLR", "never", steps=6, epochs=1, total_steps=200) | {"per": "other"}, True),
        (scheduler("CosineAnnealingLR", "never", steps=8, epochs=1, T_max=8) | {"per": "other"}, False),
    ],
)
def test_settings_that_count_epochs_are_told_from_those_that_count_batches(one, fires):
    assert bool(unit(one)) is fires


@pytest.mark.parametrize(("last", "fires"), [(1e-6, True), (0.05, False)])
def test_a_plateau_that_is_looked_for_in_batches_is_told_when_the_rate_is_gone(last, fires):
    one = scheduler("ReduceLROnPlateau", "step", patience=2)

    assert bool(unit(one, lr={"0": [0.1] * 50 + [last] * 150})) is fires


@pytest.mark.parametrize(
    ("per", "rates", "fires"),
    [
        ("epoch", [1e-4 * (1 + i // 20) for i in range(200)], True),
        ("epoch", [1e-2 * (1 + i // 20) for i in range(200)], False),  # it is warm at the end
        ("epoch", [1e-4 * (10 - i // 20) for i in range(200)], False),
        ("epoch", [1e-4 * min(3, 1 + i // 20) for i in range(200)], False),  # as long as it was planned
        ("step", [1e-5 * (1 + i) for i in range(200)], False),
    ],
)
def test_a_warm_up_that_is_not_over_by_the_end_was_planned_in_batches(per, rates, fires):
    assert bool(unit(scheduler("LambdaLR", per, base_lrs=[0.1]), lr={"0": rates})) is fires


def test_the_full_rate_of_a_warm_up_is_known_from_the_optimizer_too():
    facts = {
        "schedulers": [scheduler("SequentialLR")],
        "optimizer": [{"class": "SGD", "groups": [{"lr": 1e-4, "initial_lr": 0.1}]}],
    }
    rates = {"0": [1e-4 * (1 + i // 20) for i in range(200)]}

    assert judge(SchedulerStepUnit(), loss=[1.0] * 200, facts=facts, lr=rates)


@pytest.mark.parametrize(
    "one",
    [
        scheduler("StepLR", "step", step_size=3, gamma=0.1, epochs=1),
        scheduler("CosineAnnealingLR", "step", epochs=1, T_max=100),
    ],
)
def test_one_epoch_tells_no_unit(one):
    with pytest.raises(NotApplicable, match="epochs"):
        unit(one)


@pytest.mark.parametrize(
    ("one", "others", "fires"),
    [
        (scheduler(per="never"), [], True),
        (scheduler(per="never", epochs=1), [], False),
        (scheduler(per="never", made=5), [], False),
        (scheduler(), [], False),
        (scheduler(per="never"), [scheduler("LinearLR")], False),
    ],
)
def test_a_scheduler_that_never_steps_is_told_unless_another_one_does(one, others, fires):
    found = judge(SchedulerNeverSteps(), loss=[1.0] * 200, facts={"schedulers": [one, *others]})

    assert bool(found) is fires


@pytest.mark.parametrize(
    ("rates", "more", "others", "fires"),
    [
        ([0.1] * 200, {}, [], True),
        ([0.1] * 100 + [0.01] * 100, {}, [], False),  # wrapped: the rate is that of the one that steps
        ([0.1] * 200, {"optimizer": 0, "optimizer_steps": 200}, [], False),
        ([0.1] * 200, {"epochs": 1}, [], False),
        ([0.1] * 200, {}, [scheduler("LinearLR")], False),
    ],
)
def test_a_scheduler_of_an_optimizer_that_never_steps_is_told(rates, more, others, fires):
    one = scheduler() | {"optimizer": None, "optimizer_steps": 0, "steps": 4, "epochs": 4, "backwards": 200} | more
    facts = {"schedulers": [one, *others], "optimizer": [{"class": "Adam"}]}

    assert bool(judge(SchedulerNeverSteps(), loss=[1.0] * 200, lr={"0": rates}, facts=facts)) is fires


def test_a_scaler_that_skips_the_first_step_leaves_the_scheduler_ahead():
    facts = {"schedulers": [scheduler() | {"before_optimizer": True}]}

    assert judge(SchedulerBeforeOptimizer(), loss=[1.0] * 20, facts=facts)
    with pytest.raises(NotApplicable):
        judge(SchedulerBeforeOptimizer(), loss=[1.0] * 20, facts=facts, events={"step_skipped": {0: {"scale": 1.0}}})


@pytest.mark.parametrize(("made", "fires"), [(0, False), (1, True)])
def test_a_scheduler_that_is_stepped_by_itself_is_ahead_of_nothing(made, fires):
    one = scheduler(made=made) | {"before_optimizer": True}

    assert bool(judge(SchedulerBeforeOptimizer(), loss=[1.0] * 20, facts={"schedulers": [one]})) is fires


EARLY, LATE = [0.1 * 0.8**i for i in range(200)], [0.1] * 150 + [0.0] * 50
SOON = [0.1] * 60 + [1e-4] * 140
STOPPED = [2.0 - 0.03 * min(i, 20) for i in range(200)]


@pytest.mark.parametrize(
    ("rates", "losses", "fires"),
    [
        (EARLY, STOPPED, True),
        (LATE, STOPPED, False),
        (EARLY, [2.0 * 0.8**i for i in range(200)], False),  # learned by then
        (SOON, [2.0 - 0.1 * min(i, 4) for i in range(200)], False),  # it had come to rest
        (EARLY, [2.0 - 0.1 * min(i, 4) for i in range(200)], True),  # there was no time for that
        ([0.1 * 0.8 ** (i % 50) for i in range(200)], STOPPED, False),  # cycles
        ([1e-4 * i for i in range(200)], STOPPED, False),
    ],
)
def test_a_schedule_is_collapsed_when_learning_ends_with_it(rates, losses, fires):
    assert bool(judge(ScheduleCollapsed(), lr={"0": rates}, loss=losses)) is fires


WITHIN_SEVEN_TENTHS = [0.1] * 60 + [0.1 * 0.5 ** (i * i / 70) for i in range(140)]
NEARLY_LEARNED = [2.0 * 0.96 ** min(i, 60) for i in range(200)]


@pytest.mark.parametrize(
    ("rates", "losses", "facts", "fires"),
    [
        (WITHIN_SEVEN_TENTHS, NEARLY_LEARNED, {}, True),
        (WITHIN_SEVEN_TENTHS, [2.0 * 0.9 ** min(i, 60) for i in range(200)], {}, False),  # nothing is left to learn
        (WITHIN_SEVEN_TENTHS, [0.3 if i > 10 else 2.0 for i in range(200)], {}, False),  # it rested at the full rate
        (WITHIN_SEVEN_TENTHS, NEARLY_LEARNED, {"schedulers": [scheduler("ReduceLROnPlateau")]}, False),
        ([0.1] * 150 + WITHIN_SEVEN_TENTHS[60:110], NEARLY_LEARNED, {}, False),  # at the end, as it should
        ([max(0.001, rate) for rate in WITHIN_SEVEN_TENTHS], NEARLY_LEARNED, {}, False),
    ],
)
def test_a_rate_that_is_as_good_as_nothing_ends_learning_whatever_was_learned(rates, losses, facts, fires):
    assert bool(judge(ScheduleCollapsed(), lr={"0": rates}, loss=losses, facts=facts)) is fires


@pytest.mark.parametrize(("accuracies", "fires"), [([0.6, 0.97] + [0.9] * 8, True), ([0.6] + [0.97] * 9, False)])
def test_an_accuracy_is_reached_where_it_stays(accuracies, fires):
    seen = {"accuracy/train": {"": {20 * i: share for i, share in enumerate(accuracies)}}}

    assert bool(judge(ScheduleCollapsed(), lr={"0": EARLY}, loss=STOPPED, **seen)) is fires


def test_a_schedule_collapses_under_an_autoencoder_too():
    assert judge(ScheduleCollapsed(), lr={"0": EARLY}, loss=STOPPED, profile="autoencoder")


def plateau(mode, first, last, lows, highs):
    watched = {"first": first, "last": last, "lows": lows, "highs": highs}
    return {"schedulers": [scheduler("ReduceLROnPlateau", mode=mode) | {"watched": watched}]}


LOWERED = [0.1] * 60 + [0.01] * 140
LEARNED = [2.0 * 0.99**i for i in range(200)]


@pytest.mark.parametrize(
    ("facts", "rates", "losses", "fires"),
    [
        (plateau("max", 2.0, 0.3, 8, 0), LOWERED, LEARNED, True),
        (plateau("min", 2.0, 0.3, 8, 0), LOWERED, LEARNED, False),
        (plateau("max", 0.5, 0.9, 0, 8), LOWERED, LEARNED, False),
        (plateau("max", 2.0, 0.3, 8, 0), [0.1] * 100 + [0.2] * 100, LEARNED, False),  # it has done nothing so far
        (plateau("max", 0.9, 0.3, 8, 0), LOWERED, [2.0] * 200, False),  # a score that falls as nothing is learned
        (plateau("max", 2.0, 0.3, 8, 4), LOWERED, LEARNED, False),
        (plateau("min", 0.5, 0.9, 0, 8), LOWERED, LEARNED, True),
        (plateau("min", 50.0, 90.0, 0, 8), LOWERED, LEARNED, True),
        (plateau("min", 0.5, 1.9, 0, 8), LOWERED, LEARNED, False),  # a held-out loss that rises from the start
    ],
)
def test_a_plateau_that_is_looked_for_the_wrong_way_round_is_told_by_what_is_watched(facts, rates, losses, fires):
    accuracy = [0.5 + 0.4 * i / 199 for i in range(200)]
    found = judge(ScheduleCollapsed(), lr={"0": rates}, loss=losses, facts=facts, **{"accuracy/val": accuracy})

    assert bool(found) is fires
