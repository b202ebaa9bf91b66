"""The beginning of a run, done again and compared."""

from __future__ import annotations

import pytest

from tracker.compare.streams import ledger_of
from tracker.errors import ConfigError, ReproduceError
from tracker.reproduce.prefix import beginning, grade_beginning, prefix_of, standing_after_beginning
from tracker.rules.engine.records import END, EPOCH, Event, Fact, Reading
from tracker.rules.engine.signals import LOSS, METRIC


def ledger(losses, *, accuracy=(), epochs=(), weights=(), status="FINISHED", start="aaaa"):
    """A ledger of one loss per step; `accuracy` maps a step to what the user logged behind it.

    `weights` maps numbers of steps made to the digest that was taken then.
    """
    records = [Fact("weights", 0, {"start": start})]
    records += [Fact("fingerprint", n - 1, {"weights": w, "after": n, "when": "step"}) for n, w in weights]
    said = dict(accuracy)
    for step, loss in enumerate(losses):
        records.append(Reading(LOSS.name, "", step, loss))
        if step in said:
            records.append(Reading(METRIC.name, "accuracy", len(said), said[step]))
        if step + 1 in epochs:
            records.append(Event(EPOCH, step, {"last_step": step}))
    records.append(Event(END, len(losses) - 1, {"status": status}))
    return ledger_of(records)


def test_the_beginning_has_what_was_said_before_the_step_and_nothing_else():
    whole = ledger([4.0, 3.0, 2.0, 1.0], accuracy={1: 0.5, 2: 0.6}, epochs=(2,))

    part = beginning(whole, 2)

    assert [value for _, value in part.streams["observed/loss"]] == [4.0, 3.0]
    assert [value for _, value in part.streams["accuracy"]] == [0.5]
    assert part.epoch_starts == ()
    assert part.weights == {"start": "aaaa"}


def test_steps_and_epochs_say_the_same_beginning():
    whole = ledger([5.0, 4.0, 3.0, 2.0, 1.0, 0.5], epochs=(2, 4))

    by_steps, by_epochs = prefix_of(whole, 4, None), prefix_of(whole, None, 2)

    assert by_steps is not None
    assert by_epochs is not None
    assert (by_steps.steps, by_steps.words) == (4, "4 steps")
    assert (by_epochs.steps, by_epochs.words) == (4, "2 epochs")


@pytest.mark.parametrize(("steps", "epochs"), [(None, None), (6, None), (100, None), (None, 3), (None, 9)])
def test_a_beginning_as_long_as_the_run_is_the_run(steps, epochs):
    assert prefix_of(ledger([1.0] * 6, epochs=(2, 4)), steps, epochs) is None


def test_what_cannot_be_counted_is_refused_with_the_next_move():
    with pytest.raises(ConfigError, match="give one of them"):
        prefix_of(ledger([1.0] * 6), 2, 1)
    with pytest.raises(ReproduceError, match="Leave out --steps"):
        prefix_of(ledger([]), 2, None)


def test_an_equal_beginning_is_reproduced_whatever_comes_behind_it():
    original = ledger([4.0, 3.0, 2.0, 1.0], accuracy={1: 0.5})
    again = ledger([4.0, 3.0, 2.5], accuracy={1: 0.5}, status="KILLED")

    result = grade_beginning(original, again, prefix_of(original, 2, None), scope="host", captured="R2")

    assert result.is_reproduced
    assert (result.n_points, result.steps) == (3, 2)
    assert result.first_difference is None


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([(1, "state:a"), (2, "state:b"), (4, "state:c")], [(1, "state:a"), (2, "state:b"), (4, "state:x")], "R5[2]"),
        ([(1, "state:a"), (4, "state:c")], [(1, "state:a")], "R5[1]"),
        ([(1, "state:a"), (2, "state:b")], [(1, "state:a"), (2, "state:x")], "R4n[3]"),
        ([(4, "state:c")], [(4, "state:c")], "R4n[3]"),
    ],
)
def test_bit_for_bit_reaches_to_the_last_weights_that_both_took(mine, theirs, expected):
    original = ledger([4.0, 3.0, 2.0, 1.0], weights=mine)
    again = ledger([4.0, 3.0, 2.0, 1.0], weights=theirs)

    result = grade_beginning(original, again, prefix_of(original, 3, None), scope="host", captured="R2")

    assert result.label == expected


def test_a_beginning_that_differs_names_the_first_number():
    original = ledger([4.0, 3.0, 2.0, 1.0])
    again = ledger([4.0, 3.5, 2.0], status="KILLED")

    result = grade_beginning(original, again, prefix_of(original, 2, None), scope="host", captured="R2")

    assert not result.is_reproduced
    assert (result.first_difference.metric, result.first_difference.step) == ("observed/loss", 1)


def test_a_number_that_the_beginning_lacks_is_not_reproduced():
    original = ledger([4.0, 3.0, 2.0, 1.0], accuracy={1: 0.5})
    again = ledger([4.0, 3.0, 2.0], status="KILLED")

    result = grade_beginning(original, again, prefix_of(original, 2, None), scope="host", captured="R2")

    assert not result.is_reproduced
    assert "accuracy" in result.explanation


def test_a_beginning_raises_no_grade_and_a_differing_one_speaks_against_the_run():
    original = ledger([4.0, 3.0, 2.0, 1.0])
    prefix = prefix_of(original, 2, None)
    good = grade_beginning(original, ledger([4.0, 3.0, 2.0]), prefix, scope="host", captured="R2")
    bad = grade_beginning(original, ledger([4.0, 3.5, 2.0]), prefix, scope="host", captured="R2")
    elsewhere = grade_beginning(original, ledger([4.0, 3.5, 2.0]), prefix, scope="other-host", captured="R2")

    kept = standing_after_beginning(good, "2026-01-01", "R2", "host", "true")
    lost = standing_after_beginning(bad, "2026-01-01", "R2", "host", "true")
    remembered = standing_after_beginning(elsewhere, "2026-01-01", "R2", "host", "true")

    assert (kept.grade, kept.scope, kept.reproducible) == ("R2", "host", "true")
    assert kept.prefix == f"{good.label} host"
    assert (lost.grade, lost.reproducible) == ("R2", "false")
    assert lost.last.startswith("failed: ")
    assert remembered.reproducible == "true"
