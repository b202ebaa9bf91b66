"""One difference taken from another run, before anything is executed, and what the trials say afterwards."""

import json

import pytest

from tests.compare.hand_made import LOSSES, environment, make_repository, record, seeding
from tracker.compare.hunks import Hunk
from tracker.compare.kinds import RecordedDifference
from tracker.compare.recorded import RecordedRun
from tracker.compare.runs import compare_runs
from tracker.compare.streams import Ledger
from tracker.errors import ReproduceError
from tracker.reproduce.draws import draws_of_trial, with_state_of
from tracker.reproduce.plan import make_plan
from tracker.reproduce.restore import restore_code
from tracker.reproduce.swap import bisection
from tracker.reproduce.swapped import CannotSwap, Swap, swapped
from tracker.reproduce.trial import Asked, Trial, judged, verdict

OTHER = (1.0, 0.4, 0.2, 0.1)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return make_repository(tmp_path / "project", train__csv="1\n", config__yaml="lr: 1\n")


def pair(a, b):
    """Two recorded runs, and a function that takes one difference of them into a restored A."""
    runs = RecordedRun.find(a), RecordedRun.find(b)
    return runs, compare_runs(*runs)


def taken(tmp_path, a, b, *names):
    """A with the named differences of B: its plan, and the folder it was restored in."""
    runs, compared = pair(a, b)
    root = restore_code(runs[0].capture, tmp_path / "trial").root
    theirs = restore_code(runs[1].capture, tmp_path / "theirs").root
    rows = [one for one in compared.differences if one.id in names]
    assert len(rows) == len(names), [one.id for one in compared.differences]
    return swapped(Swap(make_plan(runs[0]), make_plan(runs[1]), root, theirs), rows).plan, root


def edit(project, name, old, new):
    path = project / name
    path.write_text(path.read_text().replace(old, new))


def test_a_changed_line_is_made_in_the_folder_of_the_trial_alone(project, tmp_path):
    edit(project, "train.py", "lr = 0.1", "lr = 0.1\n\n\n\ndepth = 1")
    a = record(project)
    edit(project, "train.py", "0.1", "0.2")
    edit(project, "train.py", "depth = 1", "depth = 2")
    b = record(project, OTHER)

    _, root = taken(tmp_path, a, b, "code:train.py:1")

    assert (root / "train.py").read_text() == "lr = 0.2\n\n\n\ndepth = 1\n"
    assert "depth = 2" in (project / "train.py").read_text()


def test_one_argument_and_one_variable_are_taken_and_the_others_stay(project, tmp_path):
    first = environment(variables={"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TZ": "UTC"})
    other = environment(variables={"TZ": "CET"})
    a = record(project, argv=("train.py", "--lr", "1", "--seed", "1"), surroundings=first)
    b = record(project, OTHER, argv=("train.py", "--lr", "2", "--seed", "2"), surroundings=other)

    plan, _ = taken(tmp_path, a, b, "args:--lr", "variable:CUBLAS_WORKSPACE_CONFIG")

    assert plan.arguments == ("--lr", "2", "--seed", "1")
    assert dict(plan.variables) == {"TZ": "UTC"}


def test_threads_are_taken_with_their_variable_or_from_the_count_where_there_is_none(project, tmp_path):
    a = record(project, surroundings=environment(1, variables={"OMP_NUM_THREADS": "1"}))
    b = record(project, OTHER, surroundings=environment(4, variables={"OMP_NUM_THREADS": "4"}))
    c, d = record(project, surroundings=environment(2)), record(project, OTHER, surroundings=environment(8))

    assert dict(taken(tmp_path / "1", a, b, "threads")[0].variables) == {"OMP_NUM_THREADS": "4"}
    assert dict(taken(tmp_path / "2", c, d, "threads")[0].variables) == {"OMP_NUM_THREADS": "8"}


def test_a_data_file_is_taken_out_of_the_code_of_the_other_run(project, tmp_path):
    a = record(project, data=["train.csv"])
    edit(project, "train.csv", "1", "2")
    b = record(project, OTHER, data=["train.csv"])
    edit(project, "train.csv", "2", "3")

    _, root = taken(tmp_path, a, b, "data:train.csv")

    assert (root / "train.csv").read_text() == "2\n"


def test_a_data_file_out_of_the_project_is_taken_by_the_argument_that_names_it(project, tmp_path):
    files = [tmp_path / "x.csv", tmp_path / "y.csv"]
    for number, file in enumerate(files):
        file.write_text(f"{number}")
    a = record(project, data=[files[0]], argv=("train.py", "--data", str(files[0])))
    b = record(project, OTHER, data=[files[1]], argv=("train.py", "--data", str(files[1])))

    plan, _ = taken(tmp_path, a, b, "args:--data")

    assert plan.arguments == ("--data", str(files[1]))
    with pytest.raises(CannotSwap, match="B did not read it"):
        taken(tmp_path / "again", a, b, f"data:{files[0]}")


def test_a_data_file_that_was_lost_or_changed_since_is_not_taken(project, tmp_path):
    (project / ".gitignore").write_text("big.bin\n")
    (project / "big.bin").write_text("one")
    a = record(project, data=["big.bin"])
    (project / "big.bin").write_text("two")
    b = record(project, OTHER, data=["big.bin"])
    (project / "big.bin").write_text("three")

    with pytest.raises(CannotSwap, match=r"was not stored, and is no longer at .*big\.bin as it was"):
        taken(tmp_path, a, b, "data:big.bin")


def test_a_package_is_taken_into_the_pins_and_asks_for_an_environment(project, tmp_path):
    a = record(project)
    b = record(project, OTHER, surroundings=environment(packages={"numpy": "2.1.0", "extra": "1"}))
    (one, other), compared = pair(a, b)
    rows = [row for row in compared.differences if row.id == "package:numpy"]

    swap = swapped(Swap(make_plan(one), make_plan(other), tmp_path, None), rows)

    assert swap.needs_environment
    assert {row["name"]: row["version"] for row in swap.plan.packages} == {"torch": "2.9.0", "numpy": "2.1.0"}


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("hardware", "hardware:cpu", "part of the machine"),
        ("switch", "switch:x", "the script sets it"),
        ("parameter", "param:lr", "the script sets it"),
        ("package", "package:nothing", "neither run has it"),
        ("random state", "state:numpy", "was not stored with B"),
        ("code", "code", "code of B cannot be restored"),
    ],
)
def test_what_cannot_be_taken_says_why(project, tmp_path, kind, name, reason):
    (one, other), _ = pair(record(project), record(project, OTHER))

    with pytest.raises(CannotSwap, match=reason):
        swapped(
            Swap(make_plan(one), make_plan(other), tmp_path, None), [RecordedDifference(name, kind, name, "1", "2")]
        )


# -- random numbers ----------------------------------------------------------------------------------------------------

STATES = {
    "seeding": {"torch_seeded": True, "numpy_seeded": False},
    "at_import": {"python": 1, "numpy": 1, "torch": 1, "cuda": {}},
    "at_entry": {"python": 2, "numpy": 2, "torch": 2, "cuda": {"0": 2}},
    "seedings": {
        "torch.manual_seed": {"__main__:2": ["1"]},
        "numpy.entropy": {"__main__:9": ["128:5"], "other:9": ["128:6"]},
    },
}
"""The randomness of a run whose script seeds torch in line 2 and takes entropy in line 9."""


@pytest.fixture
def plans(project):
    one, other = record(project, randomness=STATES), record(project, OTHER, randomness=STATES | {"seedings": {}})
    return make_plan(RecordedRun.find(one)), make_plan(RecordedRun.find(other))


def line_of(line, n_lines=1, n_b_lines=1, sets=()):
    hunk = Hunk("train.py", line, n_lines, line, n_b_lines)
    return RecordedDifference(hunk.id, "code", "line", None, None, hunk, sets=sets)


def test_another_seed_is_not_undone_by_what_the_run_had(plans):
    found = draws_of_trial(*plans, [line_of(2, sets=("the seed of torch",))])

    assert "torch.manual_seed" not in found["seedings"]
    assert found["at_entry"] == {"python": 2, "numpy": 2, "torch": None, "cuda": {}}
    assert found["at_import"]["torch"] == 1


def test_what_was_noted_by_line_moves_with_the_lines(plans):
    found = draws_of_trial(*plans, [line_of(5, n_lines=1, n_b_lines=4)])

    assert found["seedings"]["numpy.entropy"] == {"__main__:12": ["128:5"], "other:9": ["128:6"]}
    assert found["seedings"]["torch.manual_seed"] == {"__main__:2": ["1"]}


def test_the_state_of_one_generator_is_taken_and_put_under_the_lines_of_the_run(plans):
    theirs = json.loads(json.dumps(STATES))
    theirs["at_import"]["numpy"] = 7
    theirs["seedings"]["numpy.entropy"] = {"__main__:12": ["128:8"]}
    plan, other = plans
    object.__setattr__(other, "randomness", theirs)

    found = with_state_of(plan, other, "numpy", [Hunk("train.py", 5, 1, 5, 4)])

    assert found["at_import"] == {"python": 1, "numpy": 7, "torch": 1, "cuda": {}}
    assert found["seedings"]["numpy.entropy"] == {"__main__:9": ["128:8"]}
    assert found["seedings"]["torch.manual_seed"] == {"__main__:2": ["1"]}


# -- what is tried, and what it says -----------------------------------------------------------------------------------


@pytest.fixture
def task(project):
    a = record(project, randomness=seeding(states="x"))
    edit(project, "train.py", "0.1", "0.2")
    b = record(project, OTHER, surroundings=environment(4), randomness=seeding(states="y"))
    (one, other), compared = pair(a, b)

    def make(*wanted, steps=None):
        return bisection(one, other, compared.differences, compared.numbers, wanted, steps)

    return make


def test_all_takes_each_difference_once_and_the_random_states_together(task):
    chosen = {name: [one.id for one in rows] for name, rows in task("all").chosen}

    assert chosen == {
        "code:train.py:1": ["code:train.py:1"],
        "threads": ["threads"],
        "state:hash": ["state:hash"],
        "state": ["state:torch", "state:python"],
    }


def test_the_beginning_of_a_name_takes_all_that_begin_so(task):
    assert [name for name, _ in task("code").chosen] == ["code"]
    with pytest.raises(ReproduceError, match=r"'package:x' names no recorded difference .* code:train\.py:1"):
        task("package:x")


def test_too_few_steps_are_refused_before_anything_runs(task):
    assert task("code", steps=2).steps == 2
    with pytest.raises(ReproduceError, match=r"part at step 1 .* Expected at least --steps 2"):
        task("code", steps=1)


def test_equal_runs_leave_nothing_to_swap(project):
    (one, other), compared = pair(record(project), record(project))

    with pytest.raises(ReproduceError, match="No number differs"):
        bisection(one, other, compared.differences, compared.numbers, ["all"])


def asked(task):
    return Asked(task.a.ledger, task.b.ledger, task.first, task.steps)


def ledger(*losses):
    points = list(enumerate(losses))
    return Ledger({"observed/loss": points}, {"observed/loss": range(99)}, {"observed/loss": range(99)})


@pytest.mark.parametrize(
    ("losses", "outcome", "as_b"),
    [
        (LOSSES, "A", 1),
        (OTHER, "B", 4),
        ((1.0, 0.4, 0.3, 0.1), "B", 3),
        ((1.0, 0.3, 0.2, 0.1), "other", 3),
        ((1.0,), "failed", 1),
    ],
)
def test_a_trial_is_told_by_the_first_number_that_differs(task, losses, outcome, as_b):
    trial = judged("x", asked(task("all")), ledger(*losses))

    assert (trial.outcome, trial.n_as_b) == (outcome, as_b)


def test_a_beginning_is_compared_with_beginnings(task):
    trial = judged("x", asked(task("all", steps=2)), ledger(1.0, 0.4, 0.7))

    assert (trial.outcome, trial.n_as_b, trial.n_points) == ("B", 2, 2)


@pytest.mark.parametrize(
    ("outcomes", "words", "alone"),
    [
        (["A", "A", "B"], "y alone turns every number", ["y"]),
        (["A", "B", "B"], "Each of x, y alone", ["x", "y"]),
        (["A", "A", "other"], "the cause is something else", []),
        (["other", "B", "A"], "A does not come out again by itself", []),
        (["failed", "B", "A"], "the swaps prove nothing", []),
    ],
)
def test_the_trials_together_say_which_difference_is_enough(outcomes, words, alone):
    names = ("nothing", "x", "y")
    found = [
        Trial(name, outcome, n_as_b=4 if outcome == "B" else 1, n_points=4)
        for name, outcome in zip(names, outcomes, strict=True)
    ]

    said, enough = verdict(found)

    assert words in said
    assert enough == alone


def test_a_difference_that_changes_the_first_number_only_is_told_from_the_whole_cause():
    found = [
        Trial("nothing", "A"), Trial("x", "B", n_as_b=1, n_points=4), Trial("y", "A", n_points=4),
        Trial("all together", "B", n_as_b=4, n_points=4),
    ]  # fmt: skip

    said, enough = verdict(found)

    assert "x alone turns the first number that differs into B's, and not all others" in said
    assert enough == ["x"]
