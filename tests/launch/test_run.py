"""`tracker run` on scripts that have never heard of us: real processes, compared with the same without us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tracker.journal import JournalReader
from tracker.rules.engine.records import Event, Reading
from tracker.rundir import RunDir

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()", "run")

TRAIN = """
import sys
import torch

torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(4):
    optimizer.zero_grad()
    loss = model(torch.randn(8, 4)).pow(2).mean()
    loss.backward()
    optimizer.step()
    print(step, repr(loss.item()), flush=True)
"""


def slow(*values: Any) -> list[Any]:
    """Parameters for which a test is a slow one."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """A folder with `train.py`; runs go to a store of their own and are not waited for."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 0\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("PYTHONPATH", str(root))  # for our own command line; scripts find no package of ours there
    monkeypatch.delenv("TRACKER_STRICT")
    monkeypatch.chdir(folder)
    return folder


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=120, **options)


def observed(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return run([*TRACKER, *words], **options)


def assert_same(*words: str, ours: Sequence[str] = (), **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs `python words...` as it is and under `tracker run --quiet`; exit code and both streams must be equal."""
    bare = run([sys.executable, *words], **options)
    tracked = observed("--quiet", *(ours or words), **options)

    assert tracked.stdout == bare.stdout
    assert tracked.stderr == bare.stderr
    assert tracked.returncode == bare.returncode
    return tracked


def only_run() -> RunDir:
    (found,) = RunDir.all()
    return found


def ends() -> list[dict[str, Any]]:
    """What each run says of its end, oldest first."""
    return [
        dict(record.data)
        for rundir in RunDir.all()
        for _, record in JournalReader(rundir.journal).read()
        if isinstance(record, Event) and record.name == "end"
    ]


def losses(rundir: RunDir) -> list[float]:
    records = [record for _, record in JournalReader(rundir.journal).read()]
    return [record.value for record in records if isinstance(record, Reading) and record.signal == "loss"]


def faults(rundir: RunDir) -> list[Any]:
    records = [record for _, record in JournalReader(rundir.journal).read()]
    return [record.data for record in records if isinstance(record, Event) and record.name == "fault"]


def settled(rundir: RunDir) -> dict[str, Any]:
    """The state of the upload, once the run is whole in its store."""
    deadline = time.monotonic() + 90
    while not rundir.state.get("finished") and time.monotonic() < deadline:
        time.sleep(0.1)
    return rundir.state


def test_a_script_that_never_heard_of_us_is_a_whole_run_and_runs_as_ever(place: Path) -> None:
    (place / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 60\n")
    bare = run([sys.executable, "train.py", "--lr", "0.1"])
    done = observed("--name", "demo", "--tag", "a=b", "--param", "depth=3", "--json-out", "v.json", "train.py", "--lr")
    form = json.loads((place / "v.json").read_text())
    rundir = only_run()

    assert (done.returncode, done.stdout) == (0, bare.stdout)
    assert b"demo" in done.stderr
    assert b"finished" in done.stderr
    assert (rundir.spec["name"], rundir.spec["argv"]) == ("demo", ["train.py", "--lr"])
    assert (rundir.spec["tags"], rundir.spec["params"]) == ({"a": "b"}, {"depth": "3"})
    assert len(losses(rundir)) == 4
    assert faults(rundir) == []
    assert rundir.state["status"] == "FINISHED"
    assert form["run_id"] == rundir.state["mlflow_run_id"]
    assert (form["suspicious"], form["reproducible"], form["grade"]) == ("unknown", "true", "R2")
    assert [one["tracker_id"] for one in form["runs"]] == [rundir.spec["id"]]
    assert form["exit_code"] == 0


def test_the_exit_code_is_the_scripts_and_a_failure_is_the_runs(place: Path) -> None:
    with (place / "train.py").open("a") as file:
        file.write("sys.exit(3)\n")
    assert_same("train.py")

    state = settled(only_run())

    assert state["status"] == "FAILED"


@pytest.mark.parametrize(
    "failing",
    [
        "torch.ones(3, requires_grad=True).backward()",
        *slow(
            "next(iter(torch.utils.data.DataLoader([1, 'a'], batch_size=2, collate_fn=lambda b: b[0] + b[1])))",
            "torch.optim.SGD([], lr=1)",
            "try:\n    [].pop()\nexcept IndexError as error:\n    raise KeyError(1) from error",
            "import not_there_at_all",
            "raise SystemExit('a message')",
        ),
    ],
)
def test_what_an_exception_prints_is_as_without_us(place: Path, failing: str) -> None:
    with (place / "train.py").open("a") as file:
        file.write(failing + "\n")

    done = assert_same("train.py")

    assert done.returncode == 1
    assert "SystemExit" in failing or ends()[0]["status"] == "FAILED"


def test_a_module_is_run_as_a_module(place: Path) -> None:
    (place / "package").mkdir()
    (place / "package" / "__init__.py").touch()
    (place / "package" / "train.py").write_text(TRAIN + "print(__name__, __spec__.name, __package__, sys.argv[1:])\n")

    assert_same("-m", "package.train", "--help", "--", "-m")

    assert len(losses(only_run())) == 4


def test_main_and_its_surroundings_are_as_without_us(place: Path) -> None:
    (place / "train.py").write_text(
        TRAIN
        + "import os, pickle\n"
        + "class Thing: pass\n"
        + "print(__name__, __file__, sys.argv, sys.path, sys.flags, len(sys.meta_path) >= 3)\n"
        + "print(pickle.loads(pickle.dumps(Thing())).__class__, sys.stdin.read(), sys.stdout.isatty(), os.getcwd())\n"
        + "print(sys.modules['__main__'].__spec__, 'sitecustomize' in sys.modules, __builtins__.__name__)\n"
        + "print(os.getpgid(0) == os.getpgid(os.getppid()), 'tracker' in sys.modules, sys.gettrace())\n"
    )

    assert_same("train.py", "--help", "-x", "--", "-", input=b"typed")


def test_every_process_that_trains_is_a_run_of_its_own(place: Path) -> None:
    script = f"{sys.executable} train.py a && echo between && {sys.executable} -u train.py b"
    bare = run(["bash", "-c", script])
    done = observed("--json-out", "v.json", "--", "bash", "-c", script)
    form = json.loads((place / "v.json").read_text())

    assert (done.returncode, done.stdout) == (0, bare.stdout)
    assert [rundir.spec["argv"] for rundir in RunDir.all()] == [["train.py", "a"], ["train.py", "b"]]
    assert [one["tracker_id"] for one in form["runs"]] == [rundir.spec["id"] for rundir in RunDir.all()]
    assert done.stderr.count(b"train ") == 2


def test_a_users_own_tracker_and_rules_stay_theirs(place: Path) -> None:
    (place / "tracker.py").write_text("track = 'mine'\n")
    (place / "rules").mkdir()
    (place / "rules" / "__init__.py").write_text("of = 'the house'\n")
    (place / "train.py").write_text("import tracker, rules\n" + TRAIN + "print(tracker.track, rules.of)\n")

    done = assert_same("train.py")

    assert done.stdout.endswith(b"mine the house\n")
    assert len(losses(only_run())) == 4


@pytest.mark.parametrize("body", ["import os\nos.environ['SEEN'] = 'yes'\n", *slow("1 / 0\n", "import not_there\n")])
def test_a_sitecustomize_of_the_users_own_comes_to_its_right(place: Path, body: str, root: Path) -> None:
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(body)
    with (place / "train.py").open("a") as file:
        file.write(
            "import os\nprint(os.environ.get('SEEN'), getattr(sys.modules.get('sitecustomize'), '__file__', 0))\n"
        )
    path = os.pathsep.join([str(place / "site"), str(root)])

    environment = {**os.environ, "PYTHONPATH": path}
    bare = run([sys.executable, "train.py"], env=environment)
    done = observed("--quiet", "train.py", env=environment)

    assert done.stdout == bare.stdout
    assert done.stderr == bare.stderr * 2  # our own process is one of Python's too
    assert len(losses(only_run())) == 4


@pytest.mark.parametrize("to_group", [False, *slow(True)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, *slow(signal.SIGHUP)])
def test_a_signal_ends_the_script_and_us_as_it_would_end_the_script(
    place: Path, number: signal.Signals, to_group: bool
) -> None:
    with (place / "train.py").open("a") as file:
        file.write(
            "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nfinally:\n"
            "    time.sleep(0.3)\n    print('cleaned', flush=True)\n"
        )
    results = []
    for command in ([sys.executable, "train.py"], [*TRACKER, "--quiet", "train.py"]):
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            while process.stdout.readline() not in (b"ready\n", b""):
                pass
            time.sleep(0.3)  # until it sleeps
            (os.killpg if to_group else os.kill)(process.pid, number)
            results.append((process.stdout.read(), process.stderr.read(), process.wait()))
    state = settled(only_run())

    assert results[1] == results[0]
    assert results[0][2] == -number
    assert state["status"] == "KILLED"


def test_a_script_that_is_killed_leaves_a_run_that_says_so(place: Path) -> None:
    (place / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 60\n")
    with (place / "train.py").open("a") as file:
        file.write("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    done = observed("train.py")

    assert done.returncode == -signal.SIGKILL
    assert only_run().state["status"] == "KILLED"
    assert b"killed" in done.stderr


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_script_dies_with_us_when_we_are_killed(place: Path) -> None:
    with (place / "train.py").open("a") as file:
        file.write("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(20)\nprint('survived')\n")
    with subprocess.Popen([*TRACKER, "train.py"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        child = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read()  # ends when nobody holds the other end

    while is_running(child):  # the kernel has to free its memory; not every init reaps at once
        time.sleep(0.05)

    assert rest == b""


@pytest.mark.slow
def test_os_exit_is_told_from_a_loss(place: Path) -> None:
    with (place / "train.py").open("a") as file:
        file.write("import os\nos._exit(0)\n")
    assert_same("train.py")

    assert settled(only_run())["status"] == "FINISHED"


@pytest.mark.parametrize(
    ("end", "status"), [("", "FINISHED"), pytest.param("raise ValueError", "FAILED", marks=pytest.mark.slow)]
)
def test_an_attempt_in_which_nothing_trained_is_in_the_list_too(place: Path, end: str, status: str) -> None:
    (place / "prepare.py").write_text(f"import json\nprint(1)\n{end}\n")
    assert_same("prepare.py")
    (told,) = ends()

    assert told["status"] == status
    assert "training was seen" in told["reason"]
    assert only_run().spec["name"] == "prepare"


def test_a_script_that_does_not_exist_is_refused_by_python_and_makes_no_run(place: Path) -> None:
    done = assert_same("not_there.py")

    assert done.returncode == 2
    assert RunDir.all() == []


@pytest.mark.slow
def test_files_that_only_workers_read_are_in_the_run(place: Path) -> None:
    (place / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 60\n")
    for number in range(4):
        (place / f"{number}.txt").write_text(str(number))
    (place / "train.py").write_text(
        "import torch\n"
        "class Files(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, i): return float(open(f'{i}.txt').read())\n"
        "if __name__ == '__main__':\n"
        + "".join(f"    {line}\n" for line in TRAIN.splitlines())
        + "    for context in ('fork', 'spawn'):\n"
        "        data = torch.utils.data.Subset(Files(), [0, 1] if context == 'fork' else [2, 3])\n"
        "        print(list(torch.utils.data.DataLoader(data, num_workers=1, multiprocessing_context=context)))\n"
    )
    assert_same("train.py")
    names = {Path(item["path"]).name for item in only_run().read_json("capture/data.json")["items"]}

    assert names >= {"0.txt", "1.txt", "2.txt", "3.txt"}


@pytest.mark.parametrize("first", ["", *slow("import torch\n")])
def test_a_tracked_block_in_the_script_is_the_run(place: Path, first: str) -> None:
    (place / "train.py").write_text(
        first
        + "from tracker import Run, track\nimport tracker.rules\n"
        + TRAIN.replace("for step", "run = Run('theirs', params={'lr': 0.1})\nwith track(run):\n  for step").replace(
            "\n    ", "\n      "
        )
        + "print(run.findings)\n"
    )
    done = observed("--tag", "a=b", "--json-out", "v.json", "train.py")
    rundir = only_run()

    assert done.returncode == 0, done.stderr
    assert (rundir.spec["name"], rundir.spec["params"], rundir.spec["tags"]) == ("theirs", {"lr": 0.1}, {"a": "b"})
    assert len(losses(rundir)) == 4
    assert json.loads((place / "v.json").read_text())["tracker_id"] == rundir.spec["id"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nme", "x", "train.py"], "--name"),
        (["--tag", "x", "train.py"], "KEY=VALUE"),
        (["--observe", "closely", "train.py"], "light"),
        (["--profile", "closely", "train.py"], "supervised"),
        (["--settings", "nowhere.toml", "train.py"], "no such file"),
        (["--json-out", "no/where.json", "train.py"], "no folder"),
        ([], "a script is missing"),
        (["-m"], "a module"),
        (["--"], "a command"),
    ],
)
def test_wrong_usage_is_refused_before_anything_starts(place: Path, words: list[str], said: str) -> None:
    done = observed(*words)

    assert done.returncode == 64
    assert said in done.stderr.decode()
    assert RunDir.all() == []
    assert not done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["", "import random, numpy\nnumpy.random.rand(3), random.random()\n"])
def test_an_unseeded_script_comes_out_again_bit_by_bit(place: Path, draws: str) -> None:
    (place / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 60\n")
    source = TRAIN.replace("torch.manual_seed(0)", "import random, numpy as np")
    noise = "(random.random() + np.random.rand() + hash('x') % 7)"
    (place / "train.py").write_text(draws + source.replace("lr=0.1", f"lr=0.01 * {noise}"))
    done = observed("train.py", "--lr", "3")
    original = only_run()
    again = run([*TRACKER[:-1], "reproduce", original.spec["id"], "--yes", "--json"])
    grade = json.loads(again.stdout)

    assert done.returncode == 0
    assert again.returncode == 0, again.stderr.decode()
    assert grade["grade"] == "R5"
    assert grade["points"] > 8
    assert RunDir.all()[-1].spec["name"] == "train"
