"""How a run ended, its grade, and the words in its description."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playing import VERDICT, make_spec

from tracker.rules.engine.records import Event
from tracker.rundir import RunDir
from tracker.sidecar import wording
from tracker.sidecar.ending import UNKNOWN, fired, last_metrics, last_tags, status_of
from tracker.sidecar.proof import prove_restorable

PROOF = {"grade": "R1", "reproducible": "false", "scope": None, "meaning": "captured with gaps", "gaps": []}
ALL = {"code": {"kind": "git", "tree": "t"}, "environment": {"digest": "d"}, "gaps": []}


@pytest.mark.parametrize(
    ("end", "number", "status", "begins"),
    [
        (Event("end", 0, {"status": "FINISHED", "reason": "done"}), 0, "FINISHED", "done"),
        (Event("end", 0, {"status": "FAILED", "reason": "ValueError"}), 0, "FAILED", "ValueError"),
        (Event("end", 0, {"status": "odd", "reason": ""}), 0, "FAILED", ""),
        (None, 15, "KILLED", "killed by SIGTERM"),
        (None, 0, "FAILED", "lost: "),
    ],
)
def test_the_status_says_how_a_run_ended(end: Event | None, number: int, status: str, begins: str) -> None:
    said, how = status_of(end, number)

    assert said == status
    assert how.startswith(begins)


def test_consequences_count_as_fired() -> None:
    assert fired(VERDICT) == ["double-softmax", "loss-not-decreasing"]
    assert last_metrics(VERDICT, PROOF) == {"rules/fired": 2.0, "rules/worst": 3.0, "repro/grade": 1.0}
    assert last_tags(VERDICT, PROOF, "x")["rules.fired"] == "|double-softmax|loss-not-decreasing|"


def test_a_run_without_findings_has_an_empty_set() -> None:
    assert last_tags(UNKNOWN, PROOF, "x")["rules.fired"] == ""
    assert last_metrics(UNKNOWN, PROOF)["rules/worst"] == 0.0


def test_our_block_is_replaced_and_the_users_words_stay() -> None:
    once = wording.with_block("before", "one")
    twice = wording.with_block(once + "\nafter", "two")

    assert twice.startswith("before\n\n")
    assert twice.endswith("\nafter")
    assert "two" in twice
    assert "one" not in twice
    assert twice.count(wording.BEGIN) == 1


def test_a_block_is_found_again_whatever_the_users_words_imitate() -> None:
    theirs = f"mine {wording.END} and {wording.BEGIN} more"
    twice = wording.with_block(wording.with_block(theirs, "one"), "two")

    assert twice == f"{theirs}\n\n{wording.BEGIN}\ntwo\n{wording.END}"


def test_a_description_begins_with_the_headline_then_grade_and_links() -> None:
    finding = {"rule": "r", "severity": "error", "subject": "net.0", "message": "m", "advice": ["do"], "first_step": 7}
    others = [{"rule": "s"}, {"rule": "t"}]
    verdict = {"suspicious": "true", "why": "not shown twice", "findings": [{**finding, "first_epoch": 1}, *others]}
    lines = wording.block(verdict, PROOF, "id", "#/experiments/1/runs/2", ["report.html"]).splitlines()

    assert lines[0] == "**⚠ Suspicious: r** (error since epoch 2, step 7) in net.0: m"
    assert lines[2] == (
        "Reproducible: **false**, R1 (captured with gaps) · [report.html](#/experiments/1/runs/2/artifacts/report.html)"
    )
    assert "- try: do" in lines
    assert "Also found: s, t." in lines
    assert lines[-1] == "Run it again: `tracker reproduce id`"


def test_a_description_of_a_fine_run_says_how_much_was_looked_at() -> None:
    text = wording.block({"suspicious": "false", "why": "78 rules came out clear"}, {**PROOF, "grade": "R0"}, "id")

    assert text.startswith("**✓ Not suspicious**: 78 rules came out clear.\n")
    assert "tracker reproduce" not in text  # there is nothing to do again


def test_a_description_is_short_and_its_strings_are_harmless() -> None:
    hostile = "<script>alert(1)</script> `x` [a](javascript:b)\n# head @me http://h.example www.h.example :smile:"
    finding = {"rule": "r", "severity": "error", "subject": hostile, "message": "m" * 9000, "advice": [hostile] * 30}
    text = wording.block({"suspicious": "true", "findings": [finding]}, PROOF, "id")

    assert len(text) <= wording.MAX_BLOCK
    assert "<script>" not in text
    assert "\n# head" not in text
    assert r"\[a\](javascript" in text
    for mark in ("@me", "http://", "www.", ":smile:", "javascript:b"):
        assert mark not in text


def test_a_grade_that_a_re_run_proved_takes_the_place_of_the_one_before() -> None:
    before = wording.with_block("mine", wording.block(UNKNOWN, PROOF, "id", "#/r", ["findings.md"]))
    after = wording.regraded(before, {"reproducible": "true", "grade": "R5", "meaning": r"last re-run: R5 \1"})

    assert before.count("R1 (captured with gaps) · [findings.md]") == 1
    assert after == before.replace("**false**, R1 (captured with gaps)", r"**true**, R5 (last re-run: R5 \\1)")
    assert wording.regraded("no block of ours", PROOF) == "no block of ours"


def test_the_page_of_findings_has_everything_that_was_said() -> None:
    consequence = {"rule": "c", "severity": "warning", "message": "follows", "evidence": {"x": 0.123456789}}
    finding = {"rule": "r", "severity": "error", "message": "a | b", "resolved_at": 9, "first_step": 1}
    verdict = {
        "suspicious": "true",
        "why": "because",
        "findings": [{**finding, "consequences": [consequence]}],
        "suppressed": [{"rule": "quiet", "suppressed": "known", "message": "m"}],
        "skipped": [{"rule": "s", "reason": "no data"}],
        "clear": ["fine"],
    }
    page = wording.findings_page(verdict)

    for line in (
        "# ⚠ Suspicious", "## 1. r", r"**a \| b**", "error, since step 1, gone at step 9", "### c", "| x | 0.123457 |",
        "| quiet | known | m |", "| s | no data |", "fine",
    ):  # fmt: skip
        assert line in page.splitlines()


def test_a_run_without_code_is_r0(cwd: Path) -> None:
    proof = prove_restorable(RunDir.create(make_spec(cwd, None)), {**ALL, "code": {}})

    assert (proof["grade"], proof["reproducible"]) == ("R0", "false")
    assert proof["proof"]["why"] == "unknown: code"


def test_a_named_gap_makes_a_run_r1(cwd: Path) -> None:
    gap = {"part": "data", "what": "x is gone", "fix": "keep it", "blocking": True}
    proof = prove_restorable(RunDir.create(make_spec(cwd, None)), {**ALL, "gaps": [gap]})

    assert (proof["grade"], proof["reproducible"]) == ("R1", "false")
    assert proof["gaps"] == [gap]


def test_a_run_whose_restore_fails_is_unproved_and_not_false(cwd: Path) -> None:
    proof = prove_restorable(RunDir.create(make_spec(cwd, None)), ALL)

    assert (proof["grade"], proof["reproducible"]) == ("R1", "unknown")
    assert proof["proof"]["why"]


def test_a_restore_that_takes_too_long_is_given_up(cwd: Path) -> None:
    rundir = RunDir.create(make_spec(cwd, None))
    proof = prove_restorable(rundir, ALL, seconds=0.01)

    assert "more than 0.01 s" in proof["proof"]["why"]
    assert not list(rundir.path.glob(".proof-*"))


def test_captured_code_that_restores_is_r2(cwd: Path) -> None:
    from tracker.capture.code import capture_code

    (cwd / "train.py").write_text("print(1)\n")
    rundir = RunDir.create(make_spec(cwd, None, script=str(cwd / "train.py")))
    code = capture_code(cwd, rundir.capture, script=cwd / "train.py", cwd=cwd)
    captured = {**ALL, "code": code.facts, "gaps": [gap.as_json() for gap in code.gaps]}
    proof = prove_restorable(rundir, captured)
    broken = json.loads((rundir.capture / "code.json").read_text())
    (rundir.capture / "code.json").write_text(json.dumps({**broken, "tree": "0" * 40}))

    assert (proof["grade"], proof["scope"], proof["reproducible"]) == ("R2", "host", "true"), proof
    assert prove_restorable(rundir, captured)["reproducible"] == "false"
