"""MLflow's own pages in a real browser: what is seen of a run, and that its strings are no more than strings."""

from __future__ import annotations

import json
import time

import pytest
from mlflow.entities import RunTag

from tracker.sidecar import wording
from tracker.stores.view import COLUMNS, TAG, readable_views, view_link

from .conftest import HOSTILE, SECONDS, Page, Site, Trained

MADE = (
    "return [window.hacked ?? null, "
    "document.querySelectorAll('img[src=x], img[src*=evil], [onerror], [onmouseover]').length, "
    "[...document.querySelectorAll('a')].map(link => link.getAttribute('href') || '')"
    ".filter(link => /javascript|evil|github.com|mailto/.test(link))]"
)
"""What the strings of a hostile run could have made: a script that ran, elements, links."""
NOTHING = [None, 0, []]


def test_the_printed_links_show_the_verdicts_without_scrolling_and_grouped(site: Site, page: Page) -> None:
    page.open(site.view, "overfitting")
    right = page.run("return document.querySelector('.ag-root').getBoundingClientRect().right")
    edges = page.run(
        "return Object.fromEntries([...document.querySelectorAll('[role=columnheader][col-id]')]"
        ".map(head => [head.getAttribute('col-id'), head.getBoundingClientRect().right]))"
    )
    there = [column for column in COLUMNS if column in edges]

    assert page.cells("tags.`suspicious`") == ["unknown", "true", "false"]
    assert page.cells("tags.`reproducible`") == ["false", "true", "true"]
    assert page.cells("tags.`repro.grade`") == ["R1", "R2", "R5"]
    assert page.cells("tags.`rules.fired`") == ["-", "|overfitting|", "-"]
    assert page.cells("metrics.`val/loss`") == ["0.25"] * 3
    assert "metrics.`val_f1`" in edges  # a metric of the user's own
    assert len(there) == 5
    assert [column for column in there if edges[column] > right] == []

    text = page.open(site.grouped, "Group: unknown")

    assert "Group by: suspicious" in text
    assert page.cells("tags.`suspicious`") == ["", "unknown", "", "true", "", "false"]


@pytest.mark.slow
@pytest.mark.parametrize("value", ["{no JSON", json.dumps({"name": "x", "createdAt": 1, "state": "{"}), None])
def test_runs_are_seen_where_a_view_is_not_understood_and_where_there_is_none(
    site: Site, page: Page, value: str | None
) -> None:
    number = site.client.create_experiment(f"odd {value}")
    site.client.create_run(number, run_name="still seen")
    if value is not None:
        site.client.set_experiment_tag(number, TAG, value)

    page.open(view_link(site.base, number, *readable_views(site.client, number)), "still seen")


@pytest.mark.slow
def test_the_description_says_the_verdict_and_leads_to_the_findings(trained: Trained, page: Page) -> None:
    text = page.open(f"{trained.page}?workflowType=machine_learning", "Suspicious: learning-rate-too-high")
    link = page.run("return [...document.querySelectorAll('a')].find(link => link.innerText === 'findings.md').href")

    assert "1 is expected" in text
    assert "tracker reproduce" in text
    assert "Reproducible: true, R2 (captured and restorable" in text
    assert page.run(MADE) == NOTHING
    page.open(link, "It explains")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("artifact", "shows"),
    [
        ("findings.md", "evidence"),
        ("findings.json", '"schema"'),
        ("reproducibility.json", "captured and restorable"),
        ("capture/code.md", "window.hacked=4"),
        ("capture/environment.md", "packages; those that the run imported come first"),
        ("capture/data.md", "no file was read"),
        ("capture/randomness.md", "torch.manual_seed"),
        ("capture/hyperparameters.md", "a|b <i>"),
        ("capture/changes.patch.txt", "+++ b/notes.py"),
    ],
)
def test_an_artifact_opens_inline_and_its_strings_stay_strings(
    trained: Trained, page: Page, artifact: str, shows: str
) -> None:
    page.open(trained.artifact(artifact), shows)

    assert page.run(MADE) == NOTHING


@pytest.mark.slow
def test_the_report_is_shown_in_the_viewers_frame_and_makes_nothing_of_strings(trained: Trained, page: Page) -> None:
    page.open(trained.artifact("report.html"), "Artifacts")
    deadline = time.monotonic() + SECONDS
    while not (frames := page.driver.find_elements("css selector", "iframe")) and time.monotonic() < deadline:
        time.sleep(0.1)
    page.driver.switch_to.frame(frames[0])
    try:
        text = page.wait_for("learning-rate-too-high")

        assert page.run("return self.origin") == "null"
        assert "window.hacked=1" in text
        assert page.run(MADE) == NOTHING
    finally:
        page.driver.switch_to.default_content()


@pytest.mark.slow
def test_hostile_findings_stay_text_in_the_description_and_on_their_page(site: Site, page: Page) -> None:
    finding = {
        "rule": HOSTILE, "severity": HOSTILE, "subject": HOSTILE, "message": HOSTILE, "advice": [f"1. {HOSTILE}"],
        "explains": [HOSTILE], "evidence": {HOSTILE: HOSTILE}, "first_step": 1, "last_step": HOSTILE,
        "consequences": [{"rule": HOSTILE, "message": f"- {HOSTILE}"}],
    }  # fmt: skip
    verdict = {"suspicious": "true", "findings": [finding], "skipped": [{"rule": HOSTILE, "reason": HOSTILE}]}
    gap = {"what": HOSTILE, "blocking": True}
    proof = {"reproducible": HOSTILE, "grade": HOSTILE, "meaning": HOSTILE, "gaps": [gap]}
    client = site.client
    number = client.create_experiment("hostile")
    run_id = client.create_run(number, run_name="hostile findings").info.run_id
    text = wording.with_block("mine, before", wording.block(verdict, proof, "0" * 32, "", ["findings.md"]))
    client.log_batch(run_id, tags=[RunTag(wording.NOTE, text)])
    client.log_text(run_id, wording.findings_page(verdict), "findings.md")
    base = f"{site.base}/#/experiments/{number}/runs/{run_id}"
    shown = page.open(f"{base}?workflowType=machine_learning", "window.hacked=3")

    assert page.run(MADE) == NOTHING
    assert "mine, before" in shown
    assert "<script>window.hacked=1</script><img src=x" in shown
    assert ":smile:" in shown.replace("\u2060", "")
    assert "window.hacked=3" in page.open(f"{base}/artifacts/findings.md", "Not judged")
    assert page.run(MADE) == NOTHING
