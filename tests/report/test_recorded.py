from collections.abc import Sequence
from typing import Any

from tracker.report.blocks import Block, Code, Facts, Group, Section, Table, Text
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.recorded import code, data, environment, hyperparameters, randomness
from tracker.report.sections import grade, model, recorded
from tracker.rules.engine.records import Fact


def of_kind(blocks: Sequence[Block], kind: type[Any]) -> list[Any]:
    """All blocks of a kind, those in groups too."""
    found: list[Any] = []
    for block in blocks:
        found += [block] if isinstance(block, kind) else []
        found += of_kind(block.blocks, kind) if isinstance(block, Group) else []
    return found


def facts_in(blocks: Sequence[Block]) -> dict[str, object]:
    return {name: value for block in of_kind(blocks, Facts) for name, value in block.items}


def lines_in(blocks: Sequence[Block]) -> str:
    return " ".join(line for block in of_kind(blocks, Text) for line in block.lines)


def only(sections: Sequence[Section]) -> Section:
    (section,) = sections
    return section


def test_code_shows_the_commit_and_the_uncommitted_changes_as_a_diff() -> None:
    captured = {
        "code.json": {"kind": "git", "commit": "abc", "dirty": True, "changed": ["a.py"], "tree": "t"},
        "run.json": {"orig_argv": ["python", "train.py"]},
        "changes.patch.txt": "--- a.py\n+x = 1\n",
        "code.files.txt": "100644 0123456789abcdef a file.py\n",
    }

    blocks = code.blocks(captured)

    assert facts_in(blocks)["commit"] == "abc"
    assert facts_in(blocks)["uncommitted changes"] == "yes"
    assert [(block.is_diff, block.text) for block in of_kind(blocks, Code)] == [(True, "--- a.py\n+x = 1\n")]
    assert list(of_kind(blocks, Table)[0].rows[0]) == ["a file.py", "0123456789ab"]


def test_a_long_patch_is_cut_at_a_line_and_says_where_the_rest_is() -> None:
    blocks = code.blocks({"code.json": {"kind": "git"}, "changes.patch.txt": "+0123456789\n" * 20_000})

    (patch,) = of_kind(blocks, Code)
    assert len(patch.text) <= code.MOST_PATCH
    assert patch.text.endswith("+0123456789")
    assert "changes.patch.txt" in patch.caption


def test_data_says_how_surely_each_file_is_identified() -> None:
    items = [{"path": "x.csv", "size": 2048, "kind": "sampled", "sha256": "f" * 64}]

    blocks = data.blocks({"data.json": {"files": 1, "bytes": 2048, "identity": "complete", "items": items}})

    assert "1 files, 2.05 kB" in lines_in(blocks)
    assert list(of_kind(blocks, Table)[0].rows[0]) == ["x.csv", "2.05 kB", "samples of its content", "f" * 16]


def test_environment_puts_imported_packages_first() -> None:
    packages = [{"name": "a", "version": "1", "imported": False}, {"name": "z", "version": "2", "imported": True}]

    blocks = environment.blocks({"environment.json": {"packages": packages, "process": {"torch": {"version": "2.13"}}}})

    assert facts_in(blocks)["torch"] == "2.13"
    assert [row[0] for row in of_kind(blocks, Table)[0].rows] == ["z", "a"]


def test_randomness_tells_a_seed_that_was_given_from_none() -> None:
    seeding = {"torch_seeded": True, "torch_seed": "7", "python_seeded": False, "numpy_seeded": None}

    blocks = randomness.blocks({"randomness.json": {"seeding": seeding}})

    assert [row[1] for row in of_kind(blocks, Table)[0].rows] == ["none given", "not known", "7"]


def test_hyperparameters_stand_by_their_origin_and_alone_where_only_mlflow_has_them() -> None:
    blocks = hyperparameters.blocks({"hyperparameters.json": {"args": {"lr": 0.1}}, "run.json": {"params": {"n": "x"}}})
    plain = only(recorded.sections(Source(run_id="a", params={"alpha": "1"}, is_ours=False)))

    assert [(block.caption, list(map(list, block.rows))) for block in of_kind(blocks, Table)] == [
        ("given to the run", [["n", "x"]]),
        ("arguments of the script", [["lr", "0.1"]]),
    ]
    assert list(of_kind(plain.blocks, Table)[0].rows[0]) == ["alpha", "1"]


def test_the_model_is_shown_with_shapes_counts_and_shares() -> None:
    gathered = Gathered()
    layers = {"fc": {"class": "Linear", "parameters": 30, "output": [4, 10]}, "drop": {"class": "Dropout", "p": 0.5}}
    whole = {"class": "Net", "parameters": 40, "trainable": 30, "layers": layers, "frozen": ["b"], "n_frozen": 3}
    gathered.take(0.0, Fact("model", 0, {"": whole}))  # type: ignore[dict-item]

    section = only(model.sections(Source(run_id="a", gathered=gathered)))

    rows = [list(row) for row in of_kind(section.blocks, Table)[0].rows]
    assert rows[0] == ["fc", "Linear", "4 × 10", "30", "75 %", ""]
    assert rows[1][-1] == "p 0.5"
    assert "Not trained: b and 2 more." in lines_in(section.blocks)


def test_the_grade_shows_what_proved_it_and_which_gap_stands_in_the_way() -> None:
    proof = {
        "grade": "R1",
        "scope": "host",
        "reproducible": "false",
        "gaps": [
            {"part": "data", "what": "hashes", "blocking": False},
            {"part": "code", "what": "a link out of the repository", "fix": "copy it", "blocking": True},
        ],
        "proof": {
            "tried": True,
            "matches": False,
            "tree": "t",
            "environment": {"resolves": False, "missing": ["x==1"]},
        },
    }

    section = only(grade.sections(Source(run_id="abc", proof=proof)))

    gaps = next(block for block in of_kind(section.blocks, Table) if block.caption == "Gaps")
    assert [row[0] for row in gaps.rows] == ["code", "data"]
    assert "another identity" in lines_in(section.blocks)
    assert "x==1" in lines_in(section.blocks)
    assert [block.text for block in of_kind(section.blocks, Code)] == ["tracker reproduce abc"]


def test_a_later_re_execution_counts_more_than_the_grade_of_the_first_end() -> None:
    tags = {"repro.grade": "R5", "reproducible": "true", "repro.last": "R5 host"}

    section = only(grade.sections(Source(run_id="abc", proof={"grade": "R2"}, tags=tags)))

    assert facts_in(section.blocks)["Grade"] == "R5"
    assert any(row[0] == "R5 (this run)" for block in of_kind(section.blocks, Table) for row in block.rows)
