"""Folding: which finding is the headline, and what stands under it."""

from tracker.rules import FindingRecord, Level, Rule, Severity
from tracker.rules.engine.causes import explained, fold


def found(rule, first_step=0, severity=Severity.WARNING, epoch=None, resolved_at=None):
    epoch = first_step // 1000 if epoch is None else epoch
    return FindingRecord(
        rule=rule,
        subject="",
        severity=severity,
        message="1",
        advice=("Look.",),
        evidence={},
        first_step=first_step,
        last_step=first_step,
        first_epoch=epoch,
        last_epoch=epoch,
        resolved_at=resolved_at,
    )


def told(headlines):
    return [(one.rule, one.explains) for one in headlines]


def test_a_consequence_is_folded_under_its_cause():
    headlines = fold([found("nan", 20), found("rate", 10)], {"rate": ["nan"]})

    assert told(headlines) == [("rate", ("nan",))]
    assert [one.rule for one in headlines[0].consequences] == ["nan"]


def test_only_what_was_found_is_explained():
    assert told(fold([found("rate")], {"rate": ["nan", "spike"]})) == [("rate", ())]


def test_a_chain_is_folded_under_its_first_link():
    explains = {"rate": ["spike"], "spike": ["nan"], "nan": ["slow"]}
    findings = [found("slow", 30), found("nan", 20), found("spike", 10), found("rate", 0)]

    assert told(fold(findings, explains)) == [("rate", ("spike", "nan", "slow"))]


def test_a_cause_may_be_noticed_a_little_later_but_not_epochs_later():
    explains = {"rate": ["nan"]}

    assert told(fold([found("nan", 10), found("rate", 900)], explains)) == [("rate", ("nan",))]
    assert told(fold([found("nan", 990), found("rate", 1050)], explains)) == [("rate", ("nan",))]
    assert told(fold([found("nan", 10), found("rate", 5000)], explains)) == [("nan", ()), ("rate", ())]


def test_a_rule_asked_once_a_run_may_be_a_cause_whenever_it_spoke():
    headlines = fold([found("nan", 10), found("rate", 5000)], {"rate": ["nan"]}, timeless=["rate"])

    assert told(headlines) == [("rate", ("nan",))]


def test_a_cause_that_had_gone_away_before_explains_nothing():
    headlines = fold([found("nan", 5000), found("rate", 10, resolved_at=2000)], {"rate": ["nan"]})

    assert told(headlines) == [("nan", ()), ("rate", ())]


def test_rules_that_explain_each_other_have_the_one_found_first_as_headline():
    explains = {"nan": ["gradient"], "gradient": ["nan"]}

    assert told(fold([found("nan", 11), found("gradient", 10)], explains)) == [("gradient", ("nan",))]
    assert told(fold([found("nan", 10), found("gradient", 11)], explains)) == [("nan", ("gradient",))]


def test_a_circle_with_a_cause_outside_of_it_is_folded_under_that_cause():
    explains = {"nan": ["gradient"], "gradient": ["nan"], "rate": ["gradient"]}
    findings = [found("nan", 10), found("gradient", 11), found("rate", 12)]

    assert [one.rule for one in fold(findings, explains)] == ["rate"]


def test_a_remark_does_not_hide_a_warning():
    findings = [found("unseeded", severity=Severity.INFO), found("nan", 10)]

    assert told(fold(findings, {"unseeded": ["nan"]})) == [("nan", ()), ("unseeded", ())]


def test_headlines_are_ordered_by_the_worst_they_explain_then_by_step():
    findings = [
        found("early", 0),
        found("late", 50),
        found("remark", 0, Severity.INFO),
        found("rate", 40),
        found("nan", 45, Severity.FATAL),
        found("gone", 0, resolved_at=10),
    ]

    assert [one.rule for one in fold(findings, {"rate": ["nan"]})] == ["rate", "early", "late", "gone", "remark"]


def test_the_order_of_the_findings_does_not_matter():
    findings = [found("nan", 20, Severity.FATAL), found("rate", 10), found("spike", 15), found("slow", 5)]
    explains = {"rate": ["nan", "spike"], "spike": ["nan"]}

    assert (
        told(fold(findings, explains))
        == told(fold(findings[::-1], explains))
        == [
            ("rate", ("nan", "spike")),
            ("slow", ()),
        ]
    )


def test_nothing_found_is_nothing_folded():
    assert fold([], {"rate": ["nan"]}) == []


def test_the_headline_furthest_upstream_comes_first():
    findings = [found("nan", 10, Severity.FATAL), found("mode", 10), found("remark", 0, Severity.INFO)]
    levels = {"nan": Level.OUTCOME, "mode": Level.LOGIC, "remark": Level.LOGIC}

    assert [one.rule for one in fold(findings, {}, levels=levels)] == ["mode", "nan", "remark"]


def test_a_rule_may_explain_all_rules_of_a_level():
    class Upstream(Rule):
        level = Level.LOGIC
        explains = (Level.OUTCOME, "named")

        def check(self, trace):
            yield from ()

    class Downstream(Upstream):
        level = Level.OUTCOME
        explains = ()

    class Fatal(Downstream):
        severity = Severity.FATAL

    found = explained([Upstream(), Downstream(), Fatal()])

    assert found["upstream"] == {"downstream", "named"}  # a fatal one has to be named
    assert found["downstream"] == found["fatal"] == frozenset()
