"""Running a recorded command again: the command line, its variables, its folder, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tracker.errors import ReproduceError
from tracker.reproduce.plan import Plan, split_command
from tracker.reproduce.rerun import child_environment, new_folder, rerun, write_plan
from tracker.rundir import RunDir

EMPTY = Plan(
    own_id="a" * 32,
    mlflow_id="m" * 32,
    name="demo",
    index=0,
    flags=(),
    entry=("train.py",),
    arguments=(),
    project=None,
    cwd=".",
    variables={},
    search_path=(),
    randomness={},
    tracking_uri="sqlite:////somewhere/mlflow.db",
    environment={},
    data={},
    code={"tree": "t"},
)

A_RUN = """
import json, os, sys, time
from tracker.rundir import RunDir
plan = json.load(open(os.environ["TRACKER_REPRODUCE"]))
for index in range(2):
    RunDir.create({"id": f"{index}" * 32, "reproduce_of": plan["of"],
                   "index": index, "cwd": os.getcwd(), "started": time.time()})
"""


def project(tmp_path, source):
    root = tmp_path / "restored"
    root.mkdir()
    (root / "train.py").write_text(textwrap.dedent(source))
    return root


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python", "train.py", "-m", "x"], ([], "script")),
        (["python", "-O", "-u", "train.py"], (["-O", "-u"], "script")),
        (
            ["python", "-W", "ignore", "-Xdev", "-X", "utf8", "train.py"],
            (["-W", "ignore", "-Xdev", "-X", "utf8"], "script"),
        ),
        (["python", "-m", "pkg.train", "-O"], ([], "-m")),
        (["python", "-um", "pkg.train"], (["-u"], "-m")),
        (["python", "-Wignore", "-m", "pkg"], (["-Wignore"], "-m")),
        (["python", "-c", "print(1)"], ([], "-c")),
        (["python", "-i", "train.py"], ([], "script")),
        (["python", "-"], ([], "script")),
        (["python"], ([], "script")),
        ([], ([], "script")),
    ],
)
def test_the_flags_of_the_interpreter_are_told_from_those_of_the_script(argv, expected):
    assert split_command(argv) == expected


def test_a_script_is_run_where_it_is_restored(tmp_path):
    plan = replace(EMPTY, flags=("-O",), entry=("src/train.py",), arguments=("--lr", "0.1"))

    assert plan.command(tmp_path) == [sys.executable, "-O", str(tmp_path / "src/train.py"), "--lr", "0.1"]


def test_a_module_is_run_as_a_module(tmp_path):
    plan = replace(EMPTY, entry=("-m", "pkg.train"), arguments=("x",))

    assert plan.command(tmp_path) == [sys.executable, "-m", "pkg.train", "x"]


def test_the_command_that_is_shown_hides_secrets():
    plan = replace(EMPTY, arguments=("--name", "two words", "ghp_" + "a1B2" * 9))

    assert plan.shown_command.startswith("python train.py --name 'two words' ")
    assert "a1B2a1B2" not in plan.shown_command


def test_changed_files_are_read_from_the_patch():
    patch = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\ndiff --git a/d/y z.py b/d/y z.py\nnew file mode 100644\n"

    assert replace(EMPTY, patch=patch).changed_files == ["x.py", "d/y z.py"]


def test_variables_that_change_numbers_are_as_recorded_and_the_rest_as_today(tmp_path):
    plan = replace(EMPTY, variables={"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "7"})
    today = {
        "OMP_NUM_THREADS": "8", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "HOME": "/home/x", "HF_HOME": "/data/hf",
        "MLFLOW_RUN_ID": "r", "RANK": "1", "LANG": "C.UTF-8",
    }  # fmt: skip

    found = child_environment(plan, tmp_path, today)

    assert (found["OMP_NUM_THREADS"], found["PYTHONHASHSEED"]) == ("3", "7")
    assert (found["HOME"], found["HF_HOME"], found["LANG"]) == ("/home/x", "/data/hf", "C.UTF-8")
    assert not {"CUBLAS_WORKSPACE_CONFIG", "MLFLOW_RUN_ID", "RANK"} & set(found)


def test_the_import_path_has_the_projects_folders_first_and_ours_last(tmp_path, root):
    plan = replace(EMPTY, search_path=("src",))

    found = child_environment(plan, tmp_path, {"PYTHONPATH": "/elsewhere"})["PYTHONPATH"].split(os.pathsep)

    assert found == [str(tmp_path / "src"), "/elsewhere", str(root)]


def test_another_interpreter_is_given_our_package_and_none_of_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKER_HOME", str(tmp_path / "home"))
    plan = replace(EMPTY, interpreter="/opt/other/bin/python")

    found = child_environment(plan, tmp_path, {"PATH": "/usr/bin"})
    twice = [found["PYTHONPATH"], child_environment(plan, tmp_path, {})["PYTHONPATH"]]

    assert (found["PATH"], found["VIRTUAL_ENV"]) == ("/opt/other/bin:/usr/bin", "/opt/other")
    assert twice[0] == twice[1]
    assert [path.name for path in Path(twice[0]).iterdir()] == ["tracker"]
    assert (Path(twice[0]) / "tracker" / "reproduce" / "rerun.py").is_file()


def test_the_rerun_logs_to_the_store_of_the_original_unless_told_otherwise(tmp_path):
    told = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}

    assert child_environment(EMPTY, tmp_path, {})["MLFLOW_TRACKING_URI"] == EMPTY.tracking_uri
    assert child_environment(EMPTY, tmp_path, told)["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"


def test_the_plan_tells_the_rerun_which_run_it_repeats(tmp_path):
    path = write_plan(EMPTY, tmp_path / "restored")

    assert json.loads(path.read_text()) == {
        "of": "a" * 32,
        "mlflow_of": "m" * 32,
        "index": 0,
        "randomness": {},
        "tracking_uri": "sqlite:////somewhere/mlflow.db",
        "until": None,
        "debug": False,
    }


@pytest.mark.parametrize("index", [0, 1])
def test_the_run_that_is_found_is_the_one_of_the_same_place_in_its_process(tmp_path, index):
    root = project(tmp_path, A_RUN)

    done = rerun(replace(EMPTY, index=index), root, root)

    assert done.returncode == 0
    assert done.rundir is not None
    assert done.rundir.path.name == f"{index}" * 32


def test_a_run_of_an_earlier_attempt_is_not_taken_for_this_one(tmp_path):
    root = project(tmp_path, "print('no run')")
    spec = {"id": "e" * 32, "reproduce_of": EMPTY.own_id, "index": 0, "cwd": str(root), "started": time.time() - 60}
    RunDir.create(spec)

    assert rerun(EMPTY, root, root).rundir is None


def test_a_run_elsewhere_is_not_taken_for_this_one(tmp_path):
    root = project(tmp_path, "print('no run')")
    spec = {"id": "e" * 32, "reproduce_of": EMPTY.own_id, "index": 0, "cwd": str(tmp_path), "started": time.time() + 5}
    RunDir.create(spec)

    assert rerun(EMPTY, root, root).rundir is None


def test_the_exit_code_and_the_output_of_the_rerun_pass_through(tmp_path, capfd):
    root = project(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")

    done = rerun(EMPTY, root, root)

    said = capfd.readouterr()
    assert done.returncode == 3
    assert (said.out, said.err) == ("out\n", "err\n")


def test_for_a_machine_the_output_of_the_rerun_goes_to_stderr(tmp_path, capfd):
    root = project(tmp_path, "print('out')")

    rerun(EMPTY, root, root, stdout_to_stderr=True)

    assert capfd.readouterr().out == ""


def test_no_trace_of_the_plan_is_left_in_the_folder_or_beside_it(tmp_path):
    root = project(tmp_path, "")

    rerun(EMPTY, root, root)

    assert [path.name for path in tmp_path.iterdir()] == ["restored"]
    assert [path.name for path in root.iterdir()] == ["train.py"]


def test_a_rerun_that_takes_too_long_is_ended(tmp_path):
    root = project(tmp_path, "import time; time.sleep(60)")
    began = time.monotonic()

    done = rerun(EMPTY, root, root, timeout=0.5)

    assert done.timed_out
    assert done.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 10


def test_ctrl_c_lets_the_rerun_finish_what_it_is_saving(tmp_path):
    # What a terminal does: the signal goes to both; the child saves and ends by itself.
    root = project(
        tmp_path,
        """
        import pathlib, time
        pathlib.Path("ready").touch()
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            time.sleep(0.5)
            pathlib.Path("saved").touch()
            raise SystemExit(5)
        """,
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from tests_plan import EMPTY\n"
        "from tracker.reproduce.rerun import rerun\n"
        "root = Path(sys.argv[2])\n"
        "print(rerun(EMPTY, root, root).returncode)\n"
    )
    (tmp_path / "tests_plan.py").write_text(f"from tracker.reproduce.plan import Closer, Plan\nEMPTY = {EMPTY!r}\n")
    here = str(Path(__file__).resolve().parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(root)],
        env={**os.environ, "PYTHONPATH": here},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (root / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    threading.Timer(0.2, lambda: os.killpg(child.pid, signal.SIGINT)).start()
    said, _ = child.communicate(timeout=60)

    assert said.strip() == "5"
    assert (root / "saved").exists()


def test_a_command_that_cannot_be_started_is_an_error_that_names_it(tmp_path):
    root = project(tmp_path, "")

    with pytest.raises(ReproduceError, match="cannot be started"):
        rerun(EMPTY, root, tmp_path / "nowhere")


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "work").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")

    for name in ("full", "file", "link"):
        with pytest.raises(ReproduceError, match="--into"):
            new_folder(tmp_path / name, "a" * 32)
    assert new_folder(tmp_path / "empty", "a" * 32) == tmp_path / "empty"
    assert new_folder(tmp_path / "new", "a" * 32) == tmp_path / "new"


def test_without_a_name_the_folder_is_called_after_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert new_folder(None, "0123456789ab") == tmp_path / "reproduced-01234567"
