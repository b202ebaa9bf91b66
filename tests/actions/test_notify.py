"""Findings sent to people: once for each rule, to addresses that stand in the environment."""

import pytest

from tests.actions.listening import service
from tracker.actions.notify import Notifier
from tracker.rules import Settings

FIRED = {
    "rule": "nonfinite-loss",
    "family": "loss",
    "status": "fired",
    "severity": "fatal",
    "findings": [{"subject": "", "message": "loss nan at step 7", "advice": ["Lower the learning rate."]}],
}


def notifier(*rules, **table):
    return Notifier(Settings.load({"rules": {"notify": list(rules), **table}}), "digits", [])


def test_a_finding_is_sent_with_its_numbers_and_advice(monkeypatch):
    with service() as (address, posted):
        monkeypatch.setenv("TRACKER_NOTIFY", address)
        sent = notifier("loss").tell(FIRED)

    assert sent
    assert posted[0]["title"] == "digits: nonfinite-loss (fatal)"
    assert posted[0]["message"] == "loss nan at step 7\n- Lower the learning rate."


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"status": "clear"}, False),
        ({"severity": "info"}, False),
        ({"rule": "overfitting", "family": "generalization"}, False),
    ],
)
def test_wanted_are_findings_of_the_listed_rules(change, wanted):
    assert notifier("nonfinite-*").is_wanted({**FIRED, **change}) is wanted


def test_a_rule_is_told_of_once(monkeypatch):
    with service() as (address, _):
        monkeypatch.setenv("TRACKER_NOTIFY", address)
        teller = notifier("ALL")
        teller.tell(FIRED)

    assert not teller.is_wanted(FIRED)
    assert teller.told == ["nonfinite-loss"]


def test_the_variables_with_the_addresses_can_be_named(monkeypatch):
    with service() as (address, posted):
        monkeypatch.setenv("OPS_CHANNEL", address)
        notifier("ALL", notify_from=["OPS_CHANNEL"]).tell(FIRED)

    assert len(posted) == 1


def test_no_address_is_told_as_a_problem():
    teller = notifier("ALL")

    assert not teller.tell(FIRED)
    assert teller.problem == "no address is set in TRACKER_NOTIFY"


def test_a_service_that_refuses_is_told_as_a_problem_and_raises_nothing(monkeypatch):
    with service(status=500) as (address, posted):
        monkeypatch.setenv("TRACKER_NOTIFY", address)
        teller = notifier("ALL")
        sent = teller.tell(FIRED)

    assert not sent
    assert posted
    assert teller.problem == "a service did not take the notification"


def test_an_address_in_the_settings_is_refused():
    with pytest.raises(ValueError, match="notify_from"):
        Settings.load({"rules": {"notify_from": ["slack://token/secret"]}})
