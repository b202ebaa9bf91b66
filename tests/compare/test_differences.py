"""What was recorded of two runs and differs, and which of it is named as the cause."""

import pytest

from tests.compare.hand_made import environment, make_repository, record, seeding
from tracker.compare.recorded import RecordedRun
from tracker.compare.runs import compare_runs, explain

OTHER = (1.0, 0.4, 0.2, 0.1)
"""Losses that part from the others behind the first step."""
UNLIKE = (0.9, 0.4, 0.2, 0.1)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    source = "import torch\ntorch.manual_seed(1)\nnet = torch.nn.Linear(4, 8)\nlr = 0.1\n"
    return make_repository(tmp_path / "project", train__py=source, train__csv="1,2\n3,4\n", notes__md="one\n")


def explained(a, b):
    return explain(RecordedRun.find(a), RecordedRun.find(b))


def ids(found):
    return [one.id for one in found.differences if one.fit != "no"]


def change(project, name, old, new):
    path = project / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


# -- five runs that were made different on purpose ---------------------------------------------------------------------


def test_another_version_of_a_package_is_named_first(project):
    a = record(project)
    b = record(project, OTHER, surroundings=environment(packages={"numpy": "2.1.0", "pytest": "9"}))

    found = explained(a, b)

    assert ids(found) == ["package:numpy"]
    assert "Most likely: package numpy: 2.0.0 against 2.1.0" in found.headline


def test_another_number_of_threads_is_one_cause_with_its_variable(project):
    a = record(project, surroundings=environment(1, variables={"OMP_NUM_THREADS": "1"}))
    b = record(project, OTHER, surroundings=environment(4, variables={"OMP_NUM_THREADS": "4"}))

    found = explained(a, b)

    assert ids(found) == ["threads"]
    assert "threads: 1 against 4 (also OMP_NUM_THREADS 1 against 4)" in found.headline


def test_another_data_file_is_named_first_and_not_as_code(project):
    a = record(project, data=["train.csv"])
    change(project, "train.csv", "3,4", "3,5")
    b = record(project, UNLIKE, data=["train.csv"])

    found = explained(a, b)

    assert ids(found) == ["data:train.csv"]
    assert "train.csv" in found.headline


def test_another_line_of_code_is_named_with_its_place_and_text(project):
    a = record(project)
    change(project, "train.py", "lr = 0.1", "lr = 0.2")
    b = record(project, OTHER)

    found = explained(a, b)

    assert ids(found) == ["code:train.py:4"]
    assert "Most likely: train.py line 4: `lr = 0.1` against `lr = 0.2`" in found.headline
    assert found.likeliest.hunk.removed == ("lr = 0.1",)


def test_another_seed_is_named_as_the_line_that_gives_it_and_as_seed(project):
    a = record(project)
    change(project, "train.py", "manual_seed(1)", "manual_seed(2)")
    b = record(project, UNLIKE, start="w1", randomness=seeding(2))

    found = explained(a, b)

    assert ids(found) == ["code:train.py:2", "seed:torch"]
    assert "which sets the seed of torch: 1 against 2" in found.headline
    assert found.differences[1].follows == "code:train.py:2"


@pytest.mark.parametrize(
    ("losses", "start", "first"),
    [(UNLIKE, "w1", "code:train.py:2"), (OTHER, "w0", "code:train.py:4")],
)
def test_of_two_changed_lines_the_one_that_fits_where_the_numbers_part_is_first(project, losses, start, first):
    seeds = seeding(1), seeding(2 if start == "w1" else 1)
    change(project, "train.py", "lr = 0.1", "optimizer = SGD(net, lr=0.1)")
    a = record(project, randomness=seeds[0])
    change(project, "train.py", "manual_seed(1)", "manual_seed(2)")
    change(project, "train.py", "lr=0.1", "lr=0.2")
    b = record(project, losses, start=start, randomness=seeds[1])

    found = explained(a, b)

    assert found.likeliest.id == first
    assert {"code:train.py:2", "code:train.py:4"} <= set(ids(found))


# -- what stands beside a cause and must not hide it -------------------------------------------------------------------


def test_a_seed_on_the_command_line_is_the_argument_with_its_default(project):
    a = record(project, params={"args/seed": 1})
    b = record(
        project, UNLIKE, start="w1", randomness=seeding(2), argv=("train.py", "--seed", "2"), params={"args/seed": 2}
    )

    found = explained(a, b)

    assert ids(found) == ["args:--seed", "seed:torch"]
    assert "argument --seed: 1 (not given) against 2, which sets the seed of torch: 1 against 2" in found.headline


def test_runs_that_were_not_seeded_differ_in_their_random_state_when_nothing_else_does(project):
    a = record(project, randomness=seeding(states="x"))
    b = record(project, UNLIKE, start="w1", randomness=seeding(states="y"))

    found = explained(a, b)

    assert found.likeliest.id == "state:torch"
    assert "the random state of torch and python, which the runs did not seed; nothing else differs" in found.headline


@pytest.mark.parametrize("start", ["w0", "w1"])
def test_random_states_do_not_hide_a_changed_line_of_unseeded_runs(project, start):
    a = record(project, randomness=seeding(states="x"))
    change(project, "train.py", "lr = 0.1", "lr = 0.2")
    b = record(project, UNLIKE, start=start, randomness=seeding(states="y"))

    found = explained(a, b)

    assert found.likeliest.id == "code:train.py:4"
    assert "the runs were not seeded" in found.headline


def test_a_line_that_is_only_a_comment_explains_nothing(project):
    a = record(project, randomness=seeding(states="x"))
    change(project, "train.py", "lr = 0.1", "# slower\nlr = 0.1")
    b = record(project, UNLIKE, start="w1", randomness=seeding(states="y"))

    found = explained(a, b)

    assert found.likeliest.id == "state:torch"
    assert [one.fit for one in found.differences if one.kind == "code"] == ["no"]


def test_files_that_no_run_loaded_or_read_come_last(project):
    (project / "other.py").write_text("x = 1\n")
    a = record(project)
    change(project, "notes.md", "one", "two")
    change(project, "other.py", "1", "2")
    b = record(project, OTHER, surroundings=environment(packages={"torchvision": "1"}))

    found = explained(a, b)

    assert ids(found) == ["package:torchvision", "code:notes.md:1", "code:other.py:1"]
    assert found.differences[1].reason == "neither run was seen to load or read it"


def test_a_configuration_that_was_read_is_compared_line_by_line(project):
    (project / "config.yaml").write_text("lr: 0.1\nseed: 1\n")
    a = record(project, data=["config.yaml"])
    change(project, "config.yaml", "lr: 0.1", "lr: 0.3")
    b = record(project, OTHER, data=["config.yaml"], params={"optimizer/groups/0/lr": 0.3})

    found = explained(a, b)

    assert ids(found) == ["code:config.yaml:1"]
    assert found.likeliest.repeats == ("optimizer/groups/0/lr",)


def test_parameters_that_only_repeat_an_argument_are_under_it(project):
    a = record(project, argv=("train.py", "--lr", "0.1", "run"), params={"args/lr": 0.1, "optimizer/groups/0/lr": 0.1})
    b = record(
        project, OTHER, argv=("train.py", "--lr=2e-1", "run"), params={"args/lr": 0.2, "optimizer/groups/0/lr": 0.2}
    )

    found = explained(a, b)

    assert ids(found)[0] == "args:--lr"
    assert not [one for one in found.differences if one.kind == "parameter"]
    assert "optimizer/groups/0/lr" in found.likeliest.repeats


def test_a_switch_that_the_changed_line_sets_stands_behind_it(project):
    a = record(project, surroundings=environment(switches={"cudnn.deterministic": False}))
    change(project, "train.py", "lr = 0.1", "lr = 0.1\ntorch.backends.cudnn.deterministic = True")
    b = record(project, OTHER, surroundings=environment(switches={"cudnn.deterministic": True}))

    found = explained(a, b)

    assert ids(found) == ["code:train.py:5", "switch:cudnn.deterministic"]


def test_threads_that_the_changed_line_sets_stand_behind_it(project):
    a = record(project, surroundings=environment(1))
    change(project, "train.py", "lr = 0.1", "lr = 0.1\ntorch.set_num_threads(3)")
    b = record(project, OTHER, surroundings=environment(3))

    found = explained(a, b)

    assert ids(found) == ["code:train.py:5", "threads"]


def test_what_torch_says_of_its_own_version_is_its_package(project):
    a = record(project)
    b = record(project, OTHER, surroundings=environment(packages={"torch": "2.10.0"}, torch="2.10.0"))

    found = explained(a, b)

    assert ids(found) == ["package:torch"]
    assert found.likeliest.repeats == ("torch version",)


def test_runs_of_two_machines_name_packages_and_threads_before_the_machine(project):
    a = record(project)
    other = environment(8, packages={"numpy": "2.1.0"}, hardware={"cpu": {"model": "two"}, "memory_bytes": 5})
    b = record(project, OTHER, surroundings=other)

    found = explained(a, b)

    assert ids(found) == ["package:numpy", "threads", "hardware:cpu"]
    assert {one.id: one.fit for one in found.differences}["hardware:memory"] == "no"


def test_a_file_that_was_moved_is_no_difference_and_another_path_of_it_is(project):
    (project / "old.bin").write_text("same")
    (project / "new.bin").write_text("same")
    (project / "third.bin").write_text("other")
    a, moved, third = (record(project, data=[name]) for name in ("old.bin", "new.bin", "third.bin"))

    assert explained(a, moved).differences == ()
    assert set(ids(explained(a, third))) == {"data:old.bin", "data:third.bin"}


def test_a_file_that_the_run_wrote_over_follows_from_the_numbers(project, rewrite):
    a, b = record(project, data=["train.csv"]), record(project, OTHER, data=["train.csv"])
    rewrite(b, "data.json", lambda data: data["items"][0].update(rewritten=True, sha256="f" * 64))

    found = explained(a, b)

    assert [(one.id, one.fit) for one in found.differences] == [("data:train.csv", "no")]
    assert "nothing recorded differs that explains it" in found.headline


@pytest.fixture
def rewrite():
    """Changes a captured file of a run."""
    import json

    def change_file(run_id, name, changed):
        path = RecordedRun.find(run_id).capture / name
        content = json.loads(path.read_text())
        changed(content)
        path.write_text(json.dumps(content))

    return change_file


def test_equal_numbers_are_said_to_be_equal_whatever_differs(project):
    a = record(project, randomness=seeding(1, states="x"))
    b = record(project, surroundings=environment(4), randomness=seeding(1, states="y"))

    found = explained(a, b)

    assert found.headline == "The numbers have the same bits, although these differ: threads: 1 against 4."


def test_seeds_chosen_anew_do_not_make_equal_runs_different(project):
    a, b = (
        record(
            project, surroundings=environment(variables={"PYTHONHASHSEED": seed}), randomness=seeding(1, states=seed)
        )
        for seed in ("1", "2")
    )

    assert not compare_runs(RecordedRun.find(a), RecordedRun.find(b)).differs


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", {"items": "none"}),
        ("data.json", {"items": [1, {"path": None}], "identity": "complete"}),
        ("randomness.json", {"seeding": [], "at_import": 3, "seedings": {"torch.manual_seed": ["x"]}}),
        ("environment.json", {"process": [], "packages": {"a": 1}}),
        ("run.json", {"argv": {"a": 1}}),
    ],
)
def test_damaged_facts_are_passed_over(project, rewrite, name, content):
    a, b = record(project, data=["train.csv"]), record(project, OTHER, data=["train.csv"])
    path = RecordedRun.find(b).capture / name
    if not path.is_file():
        path.write_text("{}")

    def damage(found):
        found.clear()
        found.update(content)

    rewrite(b, name, damage)

    assert "The numbers part at the" in explained(a, b).headline


def test_every_difference_is_in_the_machine_form(project):
    a = record(project)
    change(project, "train.py", "lr = 0.1", "lr = 0.2")
    b = record(project, OTHER)

    said = explained(a, b).as_json()

    assert said["likeliest"] == "code:train.py:4"
    assert said["differences"][0]["hunk"]["added"] == ["lr = 0.2"]
    assert said["differences"][0]["fit"] == "likely"


@pytest.mark.slow
def test_runs_of_plain_mlflow_code_are_explained_by_their_parameters(tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    names = []
    for rate in ("0.1", "0.2"):
        run_id = client.create_run(client.create_experiment(f"e{rate}", str(tmp_path / "files"))).info.run_id
        client.log_param(run_id, "lr", rate)
        for step in range(3):
            client.log_metric(run_id, "loss", 1 - step * float(rate), step=step)
        names.append(run_id)

    found = explained(*names)

    assert ids(found) == ["param:lr"]
    assert "(loss at step 1," in found.headline
    assert "lr: 0.1 against 0.2" in found.headline
