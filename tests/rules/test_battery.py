"""Every built-in rule passes the battery, and stands where its name says."""

import pytest

from tracker.rules import Level, Registry, Rule, Severity
from tracker.rules.testing import check_rule

REGISTRY = Registry.discover()
RULES = sorted(REGISTRY.rules.values(), key=Rule.id.__func__)


def test_every_built_in_rule_can_be_imported():
    assert [failure.reason for failure in REGISTRY.failures] == []
    assert len(RULES) >= 15


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id())
def test_a_rule_passes_the_battery(rule):
    check_rule(rule)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id())
def test_a_rule_lives_in_the_file_of_its_name(rule):
    assert rule.__module__.rpartition(".")[2] == rule.id().replace("-", "_")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id())
def test_a_rule_explains_only_rules_that_exist(rule):
    assert [one for one in rule.explains if not isinstance(one, (Level, Severity)) and one not in REGISTRY.rules] == []
