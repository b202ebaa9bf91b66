"""`tracker rules`: the list, the story of one rule, and why it is on or off."""

import json

import pytest

from tracker.cli import run


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def machine(capsys, *arguments):
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_rule_is_listed_with_what_it_finds(project, capsys):
    code, said = machine(capsys, "rules")

    rules = {rule["rule"]: rule for rule in said["rules"]}
    assert code == 0
    assert rules["nonfinite-loss"]["severity"] == "fatal"
    assert rules["nonfinite-loss"]["on"] is True
    assert all(rule["about"] and rule["why"] for rule in rules.values())


def test_the_list_for_people_has_one_line_for_each_rule(project, capsys):
    run(["rules", "list"])

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("overfitting ") for line in lines) == 1


def test_an_explanation_has_the_story_and_the_knobs_with_their_values(project, capsys):
    (project / "pyproject.toml").write_text("[tool.tracker.rule.overfitting]\npatience = 7\n")

    code, said = machine(capsys, "rules", "explain", "overfitting")

    knobs = {knob["name"]: knob for knob in said["knobs"]}
    assert code == 0
    assert "## Why it matters" in said["story"]
    assert (knobs["patience"]["value"], knobs["patience"]["default"]) == (7, 3)
    assert all(knob["about"] for knob in knobs.values())


def test_an_explanation_for_people_says_what_to_try(project, capsys):
    run(["rules", "explain", "overfitting"])

    said = capsys.readouterr().out
    assert "What to try" in said
    assert "patience = 3" in said


@pytest.mark.parametrize(
    ("setting", "rule", "on", "why"),
    [
        ("", "overfitting", True, "ALL"),
        ('ignore = ["overfitting"]', "overfitting", False, "in 'ignore'"),
        ('ignore = ["generalization"]', "overfitting", False, "family 'generalization'"),
        ('select = ["loss"]', "overfitting", False, "not in 'select'"),
        ('select = ["loss"]', "nonfinite-loss", True, "loss"),
    ],
)
def test_why_names_the_setting(project, capsys, setting, rule, on, why):
    (project / "pyproject.toml").write_text(f"[tool.tracker.rules]\n{setting}\n")

    code, said = machine(capsys, "rules", "why", rule)

    assert code == 0
    assert said["on"] is on
    assert why in said["why"]
    assert said["settings"].endswith("pyproject.toml")


def test_a_settings_file_can_be_named(project, capsys):
    (project / "other.toml").write_text('[rules]\nignore = ["overfitting"]\n')

    _, said = machine(capsys, "rules", "why", "overfitting", "--settings", "other.toml")

    assert said["on"] is False


def test_a_wrong_setting_is_wrong_usage(project, capsys):
    (project / "pyproject.toml").write_text("[tool.tracker.rule.overfitting]\npatence = 7\n")

    assert run(["rules"]) == 64
    assert "patience" in capsys.readouterr().err


def test_a_plugin_that_cannot_be_imported_is_shown(project, capsys):
    (project / "pyproject.toml").write_text('[tool.tracker.rules]\nlocal = ["mine.py"]\n')
    (project / "mine.py").write_text("1/0\n")

    _, said = machine(capsys, "rules")

    assert "ZeroDivisionError" in said["crashed"][0]["reason"]


def test_the_schema_has_the_knobs_of_every_rule(project, capsys):
    code = run(["rules", "schema"])

    schema = json.loads(capsys.readouterr().out)
    assert code == 0
    assert "patience" in schema["properties"]["rule"]["properties"]["overfitting"]["properties"]
