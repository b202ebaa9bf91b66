"""Stores that are down, sidecars that died: what is left is uploaded later, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playing import log_of, make_spec, play, played, query, run_sidecar, wait_for

from tracker.launcher import sidecar_command, sidecar_environment, start_sidecar
from tracker.rundir import RunDir
from tracker.sidecar.sync import is_stale, prune, sync_all, sync_run, unfinished
from tracker.stores import open_store

Start = Callable[..., "subprocess.Popen[bytes]"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_store_that_is_down_is_noted_soon_and_the_run_kept(cwd: Path, start: Start) -> None:
    rundir = RunDir.create(make_spec(cwd, f"http://127.0.0.1:{_free_port()}"))
    training = start(*play(rundir, epochs=1, pause=600))
    wait_for(rundir.is_alive)
    start(*sidecar_command(str(rundir.path)), env=sidecar_environment())
    wait_for(lambda: str(rundir.state.get("tracking_uri", "")))
    began = time.monotonic()
    said = wait_for(lambda: str(rundir.state.get("store", "")).startswith("unreachable") and rundir.state["store"])
    seconds = time.monotonic() - began

    assert "127.0.0.1" in said
    assert seconds < 10, said
    assert training.poll() is None
    assert [run.path for run in unfinished()] == [rundir.path]


@pytest.mark.slow
def test_a_run_is_uploaded_when_the_server_comes_later(cwd: Path, uri: str, start: Start) -> None:
    port = _free_port()
    rundir = RunDir.create(make_spec(cwd, f"http://127.0.0.1:{port}"))
    played(rundir)
    first = sync_run(rundir)
    server = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    process = start(*server, "--backend-store-uri", uri, cwd=cwd, start_new_session=True)
    try:
        wait_for(lambda: _answers(port), 120)
        second = sync_run(rundir)
        status = open_store(f"http://127.0.0.1:{port}").find(rundir.path.name).status
    finally:
        _end_group(process)

    assert (first.result, second.result, status) == ("pending", "whole", "FINISHED"), log_of(rundir)


def test_sync_finishes_a_run_whose_process_and_sidecar_were_killed(cwd: Path, uri: str, start: Start) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    training = start(*play(rundir, epochs=1, pause=600))
    wait_for(rundir.is_alive)
    sidecar = start(*sidecar_command(str(rundir.path)), env=sidecar_environment())
    wait_for(lambda: rundir.state.get("synced"))
    sidecar.kill()
    training.kill()
    sidecar.wait()
    training.wait()
    stale, before = is_stale(rundir), query(uri, "select status from runs")
    done = sync_all()

    assert stale
    assert before == [("RUNNING",)]
    assert [one.result for one in done] == ["whole"]
    assert query(uri, "select status from runs") == [("FAILED",)]
    assert unfinished() == []


@pytest.mark.slow
def test_the_next_sidecar_closes_a_stale_run(cwd: Path, uri: str) -> None:
    lost = RunDir.create(make_spec(cwd, uri))
    played(lost, end="kill")
    other = RunDir.create(make_spec(cwd, uri))
    played(other)
    run_sidecar(other)

    assert open_store(uri).find(lost.path.name).status == "FAILED"


@pytest.mark.slow
def test_sync_starts_the_sidecar_that_a_living_run_has_lost(cwd: Path, uri: str, start: Start) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    start(*play(rundir, epochs=1, pause=3))
    wait_for(rundir.is_alive)
    answer = sync_run(rundir)
    wait_for(lambda: rundir.state.get("finished"), 60)

    assert answer.result == "running"
    assert query(uri, "select status from runs") == [("FINISHED",)]


def test_a_store_of_the_old_file_format_is_named_with_its_cure(cwd: Path) -> None:
    (cwd / "mlruns" / "0").mkdir(parents=True)
    (cwd / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    rundir = RunDir.create(make_spec(cwd, None))
    played(rundir)
    run_sidecar(rundir, "--sync")

    assert "mlflow migrate-filestore --source" in rundir.state["store"]
    assert not rundir.state.get("finished")
    assert rundir.journal.exists()


def test_two_sidecars_do_not_upload_one_run(cwd: Path, uri: str) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir)
    with rundir.uploading() as ours:
        status = run_sidecar(rundir)

    assert ours
    assert status == 1
    assert query(uri, "select 1 from runs") == []


def test_the_sidecar_is_no_child_of_the_training(cwd: Path, uri: str) -> None:
    """A script that waits for all of its children must not wait for the sidecar."""
    rundir = RunDir.create(make_spec(cwd, uri))
    code = (
        "import os, random, sys\nfrom pathlib import Path\nfrom tracker.launcher import start_sidecar\n"
        "from tracker.rundir import RunDir\n"
        "rundir = RunDir(Path(sys.argv[1])); alive = rundir.hold_alive(); before = random.getstate()\n"
        "start_sidecar(rundir)\n"
        "assert random.getstate() == before\n"
        "try:\n    os.waitpid(-1, 0)\nexcept ChildProcessError:\n    print('no child')\n"
        "alive.close()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(rundir.path)], capture_output=True, text=True, timeout=20
    )

    assert done.stdout == "no child\n", done.stderr
    assert done.stderr == ""
    wait_for(lambda: rundir.state.get("finished"), 60)


def test_starting_the_sidecar_costs_little(cwd: Path, uri: str) -> None:
    costs = []
    for _ in range(5):
        rundir = RunDir.create(make_spec(cwd, uri))
        (rundir.path / "state.json").write_text('{"finished": true}')
        began = time.perf_counter()
        start_sidecar(rundir)
        costs.append(time.perf_counter() - began)

    # 3 ms on a quiet machine; the bound leaves room for one that is busy with other tests.
    assert min(costs) < 0.03


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def _end_group(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def test_a_pending_run_goes_to_another_store_when_one_is_named(cwd: Path, uri: str) -> None:
    rundir = RunDir.create(make_spec(cwd, f"sqlite:///{cwd}"))  # a folder, which no database can be
    played(rundir)
    before = sync_run(rundir)
    after = sync_run(rundir, uri=uri)

    assert before.result == "pending"
    assert "is no file, expected a SQLite database" in before.store
    assert "tracker sync --uri" in before.store
    assert (after.result, after.store) == ("whole", "ok")
    assert query(uri, "select status from runs") == [("FINISHED",)]


@pytest.mark.slow
def test_a_store_that_was_put_right_is_found_by_the_next_sync(cwd: Path, database: Path) -> None:
    (cwd / "mlruns" / "0").mkdir(parents=True)
    (cwd / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    rundir = RunDir.create(make_spec(cwd, None))
    played(rundir)
    before = sync_run(rundir)
    shutil.copy(database, cwd / "mlflow.db")
    shutil.rmtree(cwd / "mlruns")

    assert before.store.startswith("refused: ")
    assert sync_run(rundir).result == "whole"


def test_only_old_runs_that_are_whole_are_pruned() -> None:
    rundirs = {name: RunDir.create({"id": name * 32, "started": 0}) for name in "abc"}
    for name in "ab":
        rundirs[name].update_state(finished=True)
    rundirs["c"].update_state(store="unreachable: the server is down")
    for name in "ac":
        os.utime(rundirs[name].path / "state.json", (0, 0))
    gone = prune(30)

    assert gone == ["a" * 32]
    assert sorted(run.path.name for run in RunDir.all()) == ["b" * 32, "c" * 32]
    assert not rundirs["a"].path.exists()


@pytest.mark.slow
def test_a_database_whose_making_is_killed_is_made_by_the_next(cwd: Path, fresh_uri: str, start: Start) -> None:
    rundir = RunDir.create(make_spec(cwd, fresh_uri))
    played(rundir, epochs=1)
    sidecar = start(*sidecar_command("--sync", str(rundir.path)), env=sidecar_environment())
    # MLflow fills the file in place, for seconds; ours is whole when it appears.
    wait_for((cwd / "mlflow.db").exists, 60)
    sidecar.kill()
    sidecar.wait()

    assert query(fresh_uri, "select name from experiments where experiment_id = 0") == [("Default",)]
    assert sync_run(rundir).result == "whole"
