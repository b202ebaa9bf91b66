"""The [tool.tracker] table: where it is found, what it may hold, and how its mistakes are told."""

import json

import pytest

from tracker.rules import ConfigError, Outcome, Settings, Severity, Status, UnknownRule
from tracker.rules.engine.finding import Finding

PROJECT = """
[tool.tracker]
experiment = "cifar"

[tool.tracker.rules]
select = ["ALL"]
ignore = ["reproducibility"]
patience = 3

[tool.tracker.rule.update-ratio]
{knob}

[[tool.tracker.suppress]]
rule = "vanishing-gradient"
subject = "encoder.*"
reason = "frozen until epoch 5"
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(knob=""), encoding="utf-8")
    (tmp_path / "src" / "deep").mkdir(parents=True)
    return tmp_path


def test_a_project_is_found_upward_from_any_of_its_directories(project):
    settings = Settings.load(project / "src" / "deep")

    assert settings.path == project / "pyproject.toml"
    assert (settings.experiment, settings.rules.patience) == ("cifar", 3)
    assert settings.suppress[0].reason == "frozen until epoch 5"


def test_a_pyproject_without_the_table_is_passed_over(project):
    (project / "src" / "pyproject.toml").write_text("[project]\nname = 'inner'\n", encoding="utf-8")

    assert Settings.load(project / "src" / "deep").experiment == "cifar"


def test_a_directory_without_settings_gives_the_defaults(tmp_path):
    settings = Settings.load(tmp_path)

    assert settings.model_dump() == Settings().model_dump()
    assert settings.path is None


def test_a_toml_file_of_its_own_needs_no_outer_table(tmp_path):
    path = tmp_path / "tracker.toml"
    path.write_text("experiment = 'a'\n[rules]\npatience = 2\n", encoding="utf-8")

    assert Settings.load(path).rules.patience == 2
    assert Settings.load(str(path)).experiment == "a"


def test_a_mapping_is_the_table_or_a_document_with_it():
    assert Settings.load({"experiment": "a"}).experiment == "a"
    assert Settings.load({"tool": {"tracker": {"experiment": "a"}}}).experiment == "a"


def test_settings_are_what_the_table_says_and_are_frozen():
    settings = Settings.load({"observe": "full", "capture": {"data": False, "redact": ["api_base"]}, "wait_seconds": 0})

    assert (settings.observe, settings.capture.data, settings.capture.redact) == ("full", False, ("api_base",))
    with pytest.raises(ValueError, match="frozen"):
        settings.observe = "light"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rules": {"selct": []}}, "Unknown key 'selct' in [tool.tracker.rules]. Did you mean 'select'?"),
        ({"experimnt": "a"}, "Unknown key 'experimnt' in [tool.tracker]. Did you mean 'experiment'?"),
        (
            {"capture": {"max_fil_mb": 1}},
            "Unknown key 'max_fil_mb' in [tool.tracker.capture]. Did you mean 'max_file_mb'?",
        ),
        (
            {"suppress": [{"rule": "loss", "reason": "a"}, {"rule": "loss", "resaon": "a", "reason": "b"}]},
            "Unknown key 'resaon' in [tool.tracker.suppress]. Did you mean 'reason'?",
        ),
        ({"zzz": 1}, "Unknown key 'zzz' in [tool.tracker]. It knows capture, experiment, near_leakage, "),
        (
            {"rule": {"update-ratio": {"max_rato": 1}}},
            "Unknown key 'max_rato' in [tool.tracker.rule.update-ratio]. Did you mean 'max_ratio'? Run 'tracker rules'",
        ),
        (
            {"suppress": [{"rule": "loss"}]},
            "'reason' is missing in [tool.tracker.suppress]; every such table needs one.",
        ),
        ({"rules": {"patience": 0}}, "[tool.tracker.rules] patience is 0; expected greater than 0. Correct the value."),
        ({"rules": {"patience": "many"}}, "[tool.tracker.rules] patience is 'many'; expected a valid integer"),
        ({"rules": {"select": "ALL"}}, "[tool.tracker.rules] select is 'ALL'; expected a list. Correct the value."),
        ({"rules": []}, "[tool.tracker] rules is []; expected a table. Correct the value."),
        ({"observe": "everything"}, "[tool.tracker] observe is 'everything'; expected 'light', 'standard' or 'full'."),
        ({"rules": {"minimum": [3]}}, "[tool.tracker.rules] minimum is 3; expected a valid string."),
        (
            {"rule": {"update-ratio": {"max_ratio": "big"}}},
            "[tool.tracker.rule.update-ratio] max_ratio is 'big'; expected a valid number",
        ),
        ({"rule": {"update-ratio": 3}}, "[tool.tracker.rule] update-ratio is 3; expected a table."),
    ],
)
def test_a_mistake_is_told_with_table_key_value_and_what_was_expected(table, message):
    with pytest.raises(ConfigError) as error:
        Settings.load(table)

    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"rules": {"select": ["overfiting"]}}, "[tool.tracker.rules] select"),
        ({"rules": {"ignore": ["overfiting"]}}, "[tool.tracker.rules] ignore"),
        ({"rules": {"stop": ["overfiting"]}}, "[tool.tracker.rules] stop"),
        ({"rules": {"notify": ["overfiting"]}}, "[tool.tracker.rules] notify"),
        ({"rules": {"minimum": [["nonfinite-loss", "overfiting"]]}}, "[tool.tracker.rules] minimum"),
        ({"suppress": [{"rule": "overfiting", "reason": "a"}]}, "[[tool.tracker.suppress]] rule"),
        ({"rule": {"overfiting": {}}}, "[tool.tracker.rule.overfiting]"),
    ],
)
def test_a_rule_that_does_not_exist_is_answered_with_the_nearest_name(table, where):
    with pytest.raises(UnknownRule) as error:
        Settings.load(table)

    assert str(error.value) == (
        f"Unknown rule or family 'overfiting' in {where}. Did you mean 'overfitting'? Run 'tracker rules' for the list."
    )
    assert (error.value.code, error.value.nearest, error.value.where) == ("overfiting", "overfitting", where)


def test_an_error_carries_its_culprit_and_names_the_file(project):
    (project / "pyproject.toml").write_text(PROJECT.format(knob="max_ratio = -1"), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        Settings.load(project)

    assert str(project / "pyproject.toml") in str(error.value)
    assert error.value.path == project / "pyproject.toml"
    assert error.value.where == "[tool.tracker.rule.update-ratio] max_ratio"
    assert error.value.value == -1


def test_a_file_that_is_missing_or_no_toml_is_an_error_that_names_it(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[rules\n", encoding="utf-8")

    with pytest.raises(
        ConfigError, match=r"There are no settings at .*absent.toml; expected a TOML file or a directory"
    ):
        Settings.load(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match=r"broken.toml is not valid TOML"):
        Settings.load(broken)


def test_a_tracker_entry_that_is_no_table_is_an_error():
    with pytest.raises(ConfigError, match=r"\[tool.tracker\] is 3; expected a table"):
        Settings.load({"tool": {"tracker": 3}})


def test_the_knobs_of_a_rule_reach_it():
    settings = Settings.load({"rule": {"update-ratio": {"max_ratio": 0.5}}})
    (rule,) = [one for one in settings.registry.instances(settings) if one.id() == "update-ratio"]

    assert rule.max_ratio == 0.5


def test_the_digest_follows_what_can_change_a_verdict_and_nothing_else():
    plain = Settings.load({}).digest()

    assert Settings.load({"experiment": "a", "tracking_uri": "b", "rules": {"stop": ["loss"]}}).digest() == plain
    assert Settings.load({"rule": {"update-ratio": {"max_ratio": 0.5}}}).digest() != plain
    assert Settings.load({"rules": {"patience": 2}}).digest() != plain
    assert Settings.load({"suppress": [{"rule": "loss", "reason": "a"}]}).digest() != plain
    assert Settings.load({"profile": "gan"}).digest() != plain


def test_near_leakage_is_looked_for_on_request_only():
    about = Settings.load({}).json_schema()["properties"]["near_leakage"]

    assert Settings.load({}).near_leakage is about["default"] is False
    assert "rule `near-leakage`" in about["description"]


def test_the_schema_knows_every_key_and_every_knob():
    schema = json.loads(json.dumps(Settings.load({}).json_schema()))

    assert {"experiment", "rules", "suppress", "rule", "capture"} <= schema["properties"].keys()
    knobs = schema["properties"]["rule"]["properties"]["update-ratio"]["properties"]
    assert knobs["max_ratio"]["description"]


def test_stop_and_notify_follow_their_selectors():
    settings = Settings.load({"rules": {"stop": ["nonfinite-loss"], "notify": ["loss"]}})
    finding = Finding("1", "Look.")

    def outcome(rule, family, severity=Severity.WARNING, findings=(finding,)):
        return Outcome(rule, family, Status.FIRED, severity, findings)

    assert settings.stops(outcome("nonfinite-loss", "loss"))
    assert not settings.stops(outcome("loss-diverging", "loss"))
    assert not settings.stops(outcome("nonfinite-loss", "loss", findings=()))
    assert settings.notifies(outcome("loss-diverging", "loss"))
    assert not settings.notifies(outcome("loss-spike", "loss", Severity.INFO))
    assert not settings.notifies(outcome("overfitting", "generalization"))


def test_a_profile_is_checked_by_name():
    assert Settings().with_profile("gan").profile == "gan"
    with pytest.raises(ConfigError, match=r"The task profile is 'gann'; expected one of .* Did you mean 'gan'\?"):
        Settings().with_profile("gann")


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"rules": {"select": ["loss"], "minimum": ["nonfinite-loss", ["loss-spike", "loss-diverging"]], "patience": 2}},
        {"rule": {"update-ratio": {"max_ratio": 0.2}}, "suppress": [{"rule": "loss-spike", "reason": "known"}]},
        {"capture": {"redact": ["host"]}, "wait_seconds": 0},
    ],
)
def test_settings_come_back_from_their_stored_form_as_they_were(table):
    settings = Settings.load(table)
    back = Settings.load(json.loads(json.dumps(settings.model_dump(mode="json"))))

    assert back == settings
    assert back.digest() == settings.digest()
    assert Settings.load({"wait_seconds": 1}) != settings


def test_an_experiment_has_a_name():
    with pytest.raises(ConfigError, match="experiment"):
        Settings.load({"experiment": ""})
