"""When no model knows more of held-out samples than a constant answer does."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.preflight.uninformative_inputs import UninformativeInputs
from tracker.rules.testing import judge

TOLD = UninformativeInputs.faulty["facts"]["drill/simple-start"]["held_out"]


def found(**changed):
    return judge(UninformativeInputs(), facts={"drill/simple-start": {"held_out": {**TOLD, **changed}}})


def test_all_three_models_must_be_worse_than_a_constant_answer():
    assert len(found()) == 1
    assert [found(**{name: 2.34}) for name in ("own", "linear", "hidden")] == [[], [], []]


@pytest.mark.parametrize("changed", [{"samples": 2000}, {"unseen": 60}, {"linear": None}, {"constant": 0.0}])
def test_little_that_was_measured_says_nothing(changed):
    with pytest.raises(NotApplicable):
        found(**changed)
