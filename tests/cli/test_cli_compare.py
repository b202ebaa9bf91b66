"""`tracker compare`: the cause first, then everything that differs, as text and as JSON."""

import io
import json

import pytest

from tests.compare.hand_made import environment, make_repository, record, seeding
from tracker.cli.compare import compare
from tracker.errors import ConfigError, ReproduceError

OTHER = (1.0, 0.4, 0.2, 0.1)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs with another line, another number of threads and other random states."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    project = make_repository(tmp_path / "project", long__txt="x\n" * 300)
    a = record(project, randomness=seeding(states="x"))
    (project / "train.py").write_text("# fast\nlr = 0.2\n")
    (project / "long.txt").write_text("y\n" * 300)
    return a, record(project, OTHER, surroundings=environment(4), randomness=seeding(states="y"))


def test_the_text_begins_with_the_cause_and_lists_every_difference_with_its_name(runs, capsys):
    code = compare(*runs, None, False)

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert "part at the first update (observed/loss at step 1," in lines[2]
    assert "train.py line 1: `lr = 0.1` against `# fast` and 1 more line" in lines[2]
    table = lines[lines.index(next(line for line in lines if line.startswith("explains"))) :]
    assert [line.split()[:2] for line in table[1:5]] == [
        ["likely", "code:train.py:1"],
        ["likely", "threads"],
        ["possible", "state:torch"],
        ["possible", "state:python"],
    ]


def test_the_code_is_told_by_lines_and_long_changes_are_cut(runs, capsys):
    compare(*runs, None, False)

    said = capsys.readouterr().out
    assert "  train.py line 1\n  -lr = 0.1\n  +# fast\n  +lr = 0.2\n" in said
    assert "  long.txt line 1\n" in said
    assert said.count("  -x\n") == 40
    assert "... 260 lines more" in said


def test_the_machine_form_has_the_same_list_and_the_hunks(runs, capsys):
    code = compare(*runs, None, True)

    said = json.loads(capsys.readouterr().out)
    assert code == 1
    assert said["explanation"]["likeliest"] == "code:train.py:1"
    assert said["explanation"]["headline"] == said["metrics"]["explanation"]
    assert {one["id"] for one in said["explanation"]["differences"]} >= {"code:train.py:1", "threads", "state:torch"}
    assert [hunk["id"] for hunk in said["code"]["hunks"]] == ["code:long.txt:1", "code:train.py:1"]
    assert said["metrics"]["first_difference"]["step"] == 1


@pytest.mark.parametrize("options", [{"steps": 3}, {"yes": True}, {"into": "x"}, {"timeout": 1.0}])
def test_options_of_a_swap_need_one(runs, options):
    with pytest.raises(ConfigError, match="give --swap as well"):
        compare(*runs, None, False, **options)


def test_nothing_is_executed_before_somebody_was_asked(runs, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y"))

    with pytest.raises(ConfigError, match="nobody can be asked"):
        compare(*runs, None, False, swap=["all"])

    said = capsys.readouterr().err
    assert "swap     code:train.py:1" in said
    assert "         +lr = 0.2" in said
    assert "swap     threads: threads: 1 against 4" in said


def test_a_name_that_names_nothing_is_refused(runs):
    with pytest.raises(ReproduceError, match=r"Expected all, or one of: code:train\.py:1, threads"):
        compare(*runs, None, False, swap=["package:numpy"], yes=True)
