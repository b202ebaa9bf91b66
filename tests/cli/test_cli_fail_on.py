"""From which severity on a finding makes a command fail."""

import json

import pytest

from tracker.cli.verdicts import exit_code, fails

INFO = {"severity": "info", "consequences": ()}
ERROR = {"severity": "error", "consequences": ()}
FOLDED = {"severity": "info", "consequences": ({"severity": "fatal"},)}


def verdict(*findings, suspicious="false"):
    return {"suspicious": suspicious, "findings": list(findings)}


@pytest.mark.parametrize(
    ("found", "fail_on", "expected"),
    [
        (verdict(INFO), "info", True),
        (verdict(), "info", False),
        (verdict(ERROR, suspicious="true"), "error", True),
        (verdict(ERROR, suspicious="true"), "fatal", False),
        (verdict(FOLDED, suspicious="true"), "fatal", True),
        (verdict(ERROR, suspicious="true"), "never", False),
        (verdict(INFO, suspicious="true"), "warning", True),
        (verdict(ERROR), "warning", False),  # a warning that went away early makes no run suspicious
    ],
)
def test_a_verdict_fails_from_the_given_severity_on(found, fail_on, expected):
    assert fails(found, fail_on) is expected
    assert exit_code([found], fail_on) == int(expected)


def test_what_could_not_be_judged_is_two_unless_something_was_found():
    unknown = verdict(suspicious="unknown")

    assert exit_code([unknown], "error") == 2
    assert exit_code([unknown, verdict(ERROR, suspicious="true")], "error") == 1


def test_check_obeys_the_setting(tmp_path, monkeypatch, capsys):
    from tracker.cli.check import check

    rows = [{"step": i, "loss": 2.3 if i < 30 else float("nan")} for i in range(60)]
    history = tmp_path / "history.jsonl"
    history.write_text("\n".join(json.dumps(row) for row in rows))
    monkeypatch.chdir(tmp_path)

    def code(fail_on):
        (tmp_path / "own.toml").write_text(f'[tool.tracker.rules]\nfail_on = "{fail_on}"\n')
        return check([str(history)], tmp_path / "own.toml", False, None, False, [], None, True)

    assert code("fatal") == 1
    assert code("never") == 0
    assert '"nonfinite-loss"' in capsys.readouterr().out
