"""`tracker reproduce --experiment`: several runs, one after the other."""

import json

import pytest

from tests.cli.projects import commit, tags_of, train
from tracker.cli import run

TWO = """
    import random, sys
    from tracker import Run, track
    with track(Run(sys.argv[1], experiment="pair", tags={"kind": sys.argv[1]})) as run:
        for step in range(5):
            run.log(score=random.random(), step=step)
"""


def again(capfd, *arguments):
    code = run(["reproduce", "--experiment", "pair", "--yes", *map(str, arguments)])
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.fixture
def pair(project):
    commit(project, train=TWO)
    return [train(project, name).spec["id"] for name in ("first", "second")]


@pytest.mark.slow
def test_all_runs_of_an_experiment_are_done_again_once(pair, capfd, tmp_path):
    code, table, shown = again(capfd, "--into", tmp_path / "all")
    repeated, said, shown_again = again(capfd, "--into", tmp_path / "all", "--json")

    results = (tmp_path / "all" / "results.jsonl").read_text().splitlines()
    assert (code, repeated) == (0, 0)
    assert [json.loads(line)["run_name"] for line in results] == ["first", "second"]
    assert table.count("R4n") == 2
    assert "[2/2] second" in shown
    assert "of which 2 were done before" in shown_again
    assert [row["grade"] for row in json.loads(said)["runs"]] == ["R4n", "R4n"]
    assert all(tags_of(one)["repro.grade"] == "R4n" for one in pair)


@pytest.mark.slow
def test_runs_are_chosen_by_an_expression_and_one_that_fails_does_not_stop_the_others(pair, capfd, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "results.jsonl").write_text('{"run_id": "cut o')

    code, said, _ = again(capfd, "--into", tmp_path / "some", "--json", "--filter", "tags.kind = 'second'")
    short, rest, _ = again(capfd, "--into", tmp_path / "short", "--json", "--steps", 3)

    (row,) = json.loads(said)["runs"]
    assert (code, row["run_name"], row["grade"]) == (0, "second", "R4n")
    assert short == 2
    assert all("no training step" in one["error"] for one in json.loads(rest)["runs"])


@pytest.mark.slow
def test_what_cannot_be_chosen_is_said_before_anything_is_executed(pair, capfd, tmp_path):
    empty = again(capfd, "--filter", "tags.kind = 'third'")
    unread = again(capfd, "--filter", "tags.kind ~ 3")
    nowhere = run(["reproduce", "--experiment", "pear", "--yes"])
    asked = run(["reproduce", "--experiment", "pair"])
    said = capfd.readouterr().err

    assert [code for code, _, _ in (empty, unread)] == [2, 2]
    assert "has no run of the tracker's own that meets" in empty[2]
    assert "does not understand the filter" in unread[2]
    assert (nowhere, asked) == (2, 64)
    assert "Did you mean 'pair'?" in said
    assert not list(tmp_path.glob("reproduced-*"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "Expected a RUN_ID"),
        (["abc", "--experiment", "e"], "not both"),
        (["abc", "--filter", "x"], "give --experiment"),
        (["abc", "--steps", "3", "--until", "3"], "use either"),
        (["abc", "--use-current-env", "--rebuild-env"], "contradict"),
    ],
)
def test_words_that_do_not_go_together_are_refused(words, expected, capfd):
    code = run(["reproduce", *words])

    assert code == 64
    assert expected in capfd.readouterr().err
