"""The battery catches what it is there to catch."""

from typing import ClassVar
from weakref import WeakSet

import pytest

from tracker.rules import Finding, NotApplicable, Phase, Rule, Status
from tracker.rules.engine.signals import GRAD_NORM, LOSS
from tracker.rules.testing import check_rule, judge, outcome_of


class SoundRule(Rule):
    """A layer's gradient norm is below the bar.

    ## Why it matters
    It does not learn.

    ## What to try
    - Look.

    ## When it is wrong
    Never.
    """

    needs = (GRAD_NORM,)

    bar: float = 0.1
    """Norm below which a layer counts as quiet."""

    healthy: ClassVar = {"grad_norm": {"stem": [1.0], "head": [1.0]}}
    faulty: ClassVar = {"grad_norm": {"stem": [0.01], "head": [1.0]}}

    def check(self, trace):
        for layer, norms in trace.by_subject(GRAD_NORM).items():
            if norms[-1] < self.bar:
                yield Finding(f"norm {norms[-1]}; expected {self.bar}", "Look.", layer, {"norm": norms[-1]})


def test_a_sound_rule_passes():
    check_rule(SoundRule)


def variant(**members):
    """The sound rule with one thing wrong."""
    members = {"__doc__": SoundRule.__doc__, "__module__": __name__, **members}
    return type("SoundRule", (SoundRule,), members)


def says(finding):
    def check(self, trace):
        yield from (finding for found in SoundRule.check(self, trace))

    return check


seen = WeakSet()


def remembers(self, trace):
    yield from () if trace in seen else SoundRule.check(self, trace)
    seen.add(trace)


def takes_the_first(self, trace):
    first = next(iter(trace.by_subject(GRAD_NORM).values()))
    if first[-1] < self.bar:
        yield Finding(f"norm {first[-1]}", "Look.", "", {"norm": first[-1]})


def divides(self, trace):
    for layer, norms in trace.by_subject(GRAD_NORM).items():
        if 1 / norms[-1] > 10:
            yield Finding(f"norm {norms[-1]}", "Look.", layer, {"norm": norms[-1]})


def reads_facts(self, trace):
    if trace.facts.get("optimizer", {}).get("lr", 0) > 1:
        yield from ()
    yield from SoundRule.check(self, trace)


def dawdles(self, trace):
    if len(trace.by_subject(GRAD_NORM)) > 50:
        sum(range(300_000))
    yield from SoundRule.check(self, trace)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (variant(__doc__="No sentence"), "the docstring has to begin with a sentence"),
        (variant(__doc__="A sentence."), "no heading '## Why it matters'"),
        (variant(phases=()), "`phases` is empty"),
        (variant(explains=("sound-rule",)), "it says that it explains itself"),
        (variant(healthy={}), "it has no healthy case"),
        (variant(faulty=SoundRule.healthy), "the faulty case is clear; expected fired"),
        (
            variant(healthy=SoundRule.faulty),
            "the healthy case is fired (stem: norm 0.01; expected 0.1); expected clear",
        ),
        (
            variant(healthy={"loss": [1.0]}),
            "the healthy case is skipped ('grad_norm' was not observed); expected clear",
        ),
        (variant(needs=()), "no data is clear; expected skipped"),
        (variant(finite=False, check=divides), "all zero makes it crash: ZeroDivisionError"),
        (variant(check=remembers), "the same trace, asked twice, gives two answers"),
        (variant(check=takes_the_first), "the order of the subjects changes the answer"),
        (
            variant(check=reads_facts, healthy={**SoundRule.healthy, "facts": {"optimizer": {"lr": 1}}}),
            "makes it crash: AttributeError",
        ),
        (variant(check=dawdles), "ms for 100 layers; expected less than 1.0 ms"),
        (variant(check=says(Finding("too quiet", "Look.", evidence={"a": 1.0}))), "no number in the message"),
        (variant(check=says(Finding("1!", "Look.", evidence={"a": 1.0}))), "the message shouts"),
        (variant(check=says(Finding("1", (), evidence={"a": 1.0}))), "0 pieces of advice; expected one to three"),
        (
            variant(check=says(Finding("1", ["a"] * 4, evidence={"a": 1.0}))),
            "4 pieces of advice; expected one to three",
        ),
        (variant(check=says(Finding("1", "Look."))), "a finding without evidence"),
        (
            variant(check=says(Finding("1", "Look.", evidence={"a": float("nan")}))),
            "the evidence a = nan is not a finite",
        ),
    ],
)
def test_a_rule_with_one_thing_wrong_does_not_pass(broken, message):
    with pytest.raises(AssertionError) as error:
        check_rule(broken)

    assert message in str(error.value)


def test_a_knob_without_a_docstring_or_a_default_does_not_pass():
    class Undocumented(SoundRule):
        __doc__ = SoundRule.__doc__
        window: int = 3

    class Required(SoundRule):
        __doc__ = SoundRule.__doc__
        window: int
        """Steps to look at."""

    with pytest.raises(AssertionError, match="the knob 'window' has no docstring"):
        check_rule(Undocumented)
    with pytest.raises(AssertionError, match="the knob 'window' has no default"):
        check_rule(Required)


@pytest.mark.parametrize("line", ["import torch", "from torch.nn import Linear", "import random, math"])
def test_a_rule_file_that_imports_more_than_the_past_does_not_pass(tmp_path, monkeypatch, line):
    name = f"impure_{abs(hash(line))}"
    source = (
        f"if False:\n    {line}\nfrom tracker.rules import Rule\n\nclass Impure(Rule):\n"
        f'    """{SoundRule.__doc__}"""\n\n    def check(self, trace):\n        yield from ()\n'
    )
    (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(AssertionError, match="a rule may not import"):
        check_rule(__import__(name).Impure)


def test_judge_gives_the_findings_and_says_when_nothing_could_be_judged():
    assert [found.subject for found in judge(SoundRule(), **SoundRule.faulty)] == ["stem"]
    assert judge(SoundRule(bar=0.001), **SoundRule.faulty) == []
    with pytest.raises(NotApplicable, match="'grad_norm' was not observed"):
        judge(SoundRule(), loss=[1.0])


def test_judge_lets_the_exception_of_a_rule_through():
    class Breaks(SoundRule):
        """Crashes."""

        def check(self, trace):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        judge(Breaks(), **SoundRule.faulty)
    assert outcome_of(Breaks(), **SoundRule.faulty).status is Status.CRASHED


def test_a_preview_rule_can_be_tested_too():
    class Tried(SoundRule):
        """Not on by default."""

        status = "preview"
        phases = (Phase.STEP,)
        needs = (LOSS,)

    assert outcome_of(Tried(), loss=[1.0]).status is Status.CLEAR
