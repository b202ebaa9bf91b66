"""The pages in Markdown beside what was captured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tracker.report.recorded.code import MOST_PATCH
from tracker.report.recorded.forms import MOST_ROWS
from tracker.sidecar.markdown import code, fenced, plain, table
from tracker.sidecar.pages import MOST_PAGE, PAGES, write_pages

HOSTILE = "<img src=x onerror=alert(1)> | `b` ``` [x](javascript:1) http://h.example @me"
CAPTURED = {
    "code": {"kind": "git", "commit": "c0ffee", "branch": HOSTILE, "dirty": True, "changed": [HOSTILE, "a.py"]},
    "run": {"orig_argv": ["python", "train.py", HOSTILE], "params": {HOSTILE: HOSTILE, "lr": 0.1, "bug": None}},
    "data": {
        "files": 1, "bytes": 2_500_000, "identity": "partial", "unseen_readers": [HOSTILE],
        "items": [{"path": HOSTILE, "size": 2_500_000, "kind": "sampled", "sha256": "ab" * 32}],
    },
    "environment": {
        "process": {"python": {"version": "3.11.7"}, "torch": {"version": "2.13"}, "switches": {"tf32": True}},
        "hardware": {"gpus": [{"name": HOSTILE, "driver": "550"}], "memory_bytes": 25e9},
        "packages": [{"name": "torch", "version": "2.13", "imported": True}, {"name": HOSTILE, "imported": False}],
    },
    "hyperparameters": {"optimizer": {"class": "SGD", "groups": [{"lr": 0.1}]}},
    "randomness": {
        "seeding": {"torch_seed": "7", "numpy_seeded": False, "hash_fixed": True, "hash_seed": "3"},
        "seedings": {"torch.manual_seed": {HOSTILE: ["7"]}},
    },
}  # fmt: skip


def captured(place: Path, parts: object = None) -> Path:
    for name, content in CAPTURED.items():
        (place / f"{name}.json").write_text(json.dumps(content if parts is None else parts))
    return place


def test_each_page_says_in_words_what_its_file_holds(tmp_path: Path) -> None:
    (captured(tmp_path) / "changes.patch.txt").write_text("+new line\n```\n</script>\n")
    (tmp_path / "code.files.txt").write_text("100644 x train.py\n")
    written = write_pages(tmp_path)
    text = {path.name: path.read_text() for path in written}

    assert [path.name for path in written] == [f"{name}.md" for name in PAGES]
    assert "| commit | c0ffee |" in text["code.md"]
    assert "\n````diff\n+new line\n```\n" in text["code.md"]
    assert "1 files, 2.5 MB&#58;" not in text["data.md"]
    assert "1 files, 2.5 MB: some of what was read is not identified." in text["data.md"]
    assert "samples of its content" in text["data.md"]
    assert "| Python | 3.11.7 |" in text["environment.md"]
    assert text["environment.md"].index("| torch | 2.13 | yes") < text["environment.md"].index("| no |")
    assert "| bug | none |" in text["hyperparameters.md"]
    assert "groups\\[0\\].lr" in text["hyperparameters.md"]
    assert "| torch | 7 |" in text["randomness.md"]
    assert "PYTHONHASHSEED=3" in text["randomness.md"]


def test_no_string_of_a_run_is_markup_on_a_page(tmp_path: Path) -> None:
    for page in write_pages(captured(tmp_path)):
        unescaped = page.read_text().replace("\\`", "")
        outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", unescaped)  # code is not interpreted

        assert "<img" not in outside
        assert "](javascript" not in outside.replace("\\]", "")
        assert "@me" not in outside
        assert "http:" not in outside


@pytest.mark.parametrize("parts", [[], 3, {"seeding": 3, "process": [], "items": 7, "changed": 5, "packages": {}}])
def test_a_file_in_another_form_costs_at_most_its_own_page(tmp_path: Path, parts: object) -> None:
    captured(tmp_path, parts)
    (tmp_path / "data.json").write_text(json.dumps(CAPTURED["data"]))

    assert tmp_path / "data.md" in write_pages(tmp_path)


def test_a_folder_without_files_has_no_pages(tmp_path: Path) -> None:
    assert write_pages(tmp_path) == []


def test_pages_have_a_largest_size_and_say_what_is_left_out(tmp_path: Path) -> None:
    captured(tmp_path)
    items = [{"path": f"{index}.png", "size": 1, "kind": "full"} for index in range(MOST_ROWS + 7)]
    (tmp_path / "data.json").write_text(json.dumps({"files": len(items), "items": items}))
    (tmp_path / "changes.patch.txt").write_text("+x\n" * MOST_PATCH)
    params = {f"p{index}": "v" * 300 for index in range(3000)}
    (tmp_path / "hyperparameters.json").write_text(json.dumps({f"t{n}": params for n in range(9)}))
    text = {path.name: path.read_text() for path in write_pages(tmp_path)}

    assert f"The first {MOST_ROWS} of {MOST_ROWS + 7}." in text["data.md"]
    assert "The rest is in capture/changes.patch.txt." in text["code.md"]
    assert len(text["code.md"]) < 2 * MOST_PATCH
    assert len(text["hyperparameters.md"]) < MOST_PAGE + 100
    assert text["hyperparameters.md"].endswith("The rest is left out.\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("1. x", "1&#46; x"),
        ("- x", "&#45; x"),
        ("-0.5 of 2:3", "-0.5 of 2&#58;&#8288;3"),
        ("---", "&#45;--"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("&#60;", "&amp;\\#60;"),
        ("a\x1b[31m\u202eb", "a\ufffd\\[31m\ufffdb"),
        ("\ud800", "\ud800"),
    ],
)
def test_a_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_code_and_blocks_hold_what_would_end_them() -> None:
    assert code("a`b") == "`` a`b ``"
    assert code("a|b", in_table=True) == r"`a\|b`"
    assert code("") == ""
    assert fenced("````", "diff")[0] == "`````diff"
    assert table(("a", "b"), []) == []
