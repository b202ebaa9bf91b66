"""Edges of the rule about layers that see the tokens they are to give."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.setup.future_leak import FutureLeak
from tracker.rules.testing import judge


def seen(how, share=None, layer=None):
    return {"how": how, "share": share, "layer": layer}


@pytest.mark.parametrize(
    ("ahead", "subjects"),
    [
        ([seen("attention", 0.11)], [""]),
        ([seen("attention", 0.09)], []),
        ([seen("attention", 0.09), seen("recurrence", layer="lstm")], ["lstm"]),
        ([seen("a way that is not known yet", 0.4)], []),
        ([seen("convolution", layer="one"), seen("convolution", layer="two")], ["one"]),
    ],
)
def test_one_finding_names_the_first_layer_that_sees_much_of_what_comes(ahead, subjects):
    found = judge(FutureLeak(), facts={"graph": {"reached": 20, "ahead": ahead}})

    assert [finding.subject or "" for finding in found] == subjects


def test_a_graph_in_which_it_was_not_looked_at_says_nothing():
    with pytest.raises(NotApplicable, match="was not looked at"):
        judge(FutureLeak(), facts={"graph": {"reached": 20}})
