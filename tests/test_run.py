"""`Run` and `track`: what may be given, how a block ends, and what is logged."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainings import data, events, facts, fault_parts, mlp, readings, records, step, tracked
from tracker import Run, track
from tracker.errors import ConfigError
from tracker.journal import JournalReader
from tracker.rules.engine.records import Event
from tracker.rundir import RunDir, new_id

# -- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"experimnt": "x"}, "Did you mean 'experiment'"),
        ({"lr": 0.1}, "Hyperparameters go into params="),
        ({"experiment": ""}, "'experiment' is ''"),
        ({"params": 3}, "'params' is 3"),
        ({"tags": ["a"]}, "'tags'"),
        ({"quiet": "perhaps"}, "'quiet' is 'perhaps'"),
    ],
)
def test_a_wrong_argument_is_named_at_once(arguments, says):
    with pytest.raises(ConfigError) as caught:
        Run("x", **arguments)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"settings": {"experimnt": "x"}}, "experiment"),
        ({"settings": {"rules": {"stop": ["nonfinite-los"]}}}, "nonfinite-loss"),
        ({"settings": {"rule": {"nonfinite-loss": {"speed": 3}}}}, "speed"),
        ({"settings": "/no/such/folder"}, "/no/such/folder"),
        ({"profile": "gann"}, "gan"),
        ({"class_weights": [[1, 2]]}, "class_weights"),
        ({"class_weights": ["a"]}, "class_weights"),
    ],
)
def test_a_wrong_setting_is_named_before_the_block(arguments, says):
    entered = False
    with pytest.raises(ConfigError) as caught, track(Run("x", **arguments)):
        entered = True

    assert says in str(caught.value)
    assert not entered


@pytest.mark.parametrize("given", [3, ["a"], object])
def test_track_says_what_it_takes(given):
    with pytest.raises(ConfigError, match="expected a Run, a name"):
        track(given)


def test_parameters_given_twice_are_an_error():
    with pytest.raises(ConfigError, match="lr"):
        track(Run("x"), lr=0.1)


def test_track_takes_a_name_a_dictionary_or_nothing():
    assert track("resnet", lr=0.1).run.options.params == {"lr": 0.1}
    assert track("resnet").run.name == "resnet"
    assert track({"lr": 0.1}, depth=3).run.options.params == {"lr": 0.1, "depth": 3}
    assert track().run.options.name is None


def test_a_run_is_used_once():
    with tracked() as run:
        pass

    with pytest.raises(ConfigError, match="used once"):
        track(run).__enter__()


def test_what_was_given_stands_in_the_spec():
    given = {"params": {"lr": 0.1, "net": torch.nn.ReLU}, "tags": {"team": 3}, "class_weights": {"a": 1, "b": 2.5}}
    with tracked("mine", **given) as run:
        spec = run._session.rundir.spec

    assert (spec["id"], spec["name"], spec["tags"], spec["pid"]) == (run.id, "mine", {"team": "3"}, os.getpid())
    assert spec["params"]["lr"] == 0.1
    assert spec["class_weights"] == {"a": 1.0, "b": 2.5}
    assert RunDir.find(run.id).path == run._session.rundir.path


def test_an_identity_draws_from_no_generator_of_the_users():
    import random

    random.seed(1)
    state = random.getstate()
    ids = {new_id() for _ in range(50)}

    assert len(ids) == 50
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in ids)
    assert random.getstate() == state


# -- how a block ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (None, "FINISHED", ""),
        (ValueError("bad"), "FAILED", "ValueError: bad"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (SystemExit(0), "FINISHED", ""),
        (SystemExit(), "FINISHED", ""),
        (SystemExit(3), "FAILED", "exit code 3"),
        (GeneratorExit(), "FINISHED", ""),
    ],
)
def test_the_end_of_a_block_is_written_and_its_exception_passes(error, status, reason):
    caught = None
    try:
        with tracked() as run:
            if error is not None:
                raise error
    except BaseException as raised:
        caught = raised

    assert caught is error
    assert [event.data for event in events(run, "end")] == [{"status": status, "reason": reason}]
    assert isinstance(records(run)[-1], Event)
    assert records(run)[-1].name == "end"


def test_an_exception_whose_text_raises_passes_through():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(Odd), tracked() as run:
        raise Odd

    assert events(run, "end")[0].data == {"status": "FAILED", "reason": "Odd"}


def test_after_the_block_nothing_of_ours_is_left_on_torch():
    from torch.optim import optimizer as optimizers
    from torch.utils.data import dataloader

    def places():
        return (
            torch.autograd.backward,
            dataloader._BaseDataLoaderIter.__next__,
            torch.amp.GradScaler.scale,
            list(optimizers._global_optimizer_pre_hooks),
            list(optimizers._global_optimizer_post_hooks),
            signal.getsignal(signal.SIGTERM),
        )

    before = places()
    with tracked():
        during = places()
        with pytest.raises(ZeroDivisionError), tracked():
            _ = 1 / 0
        assert places() == during

    assert places() == before
    assert all(a != b for a, b in zip(before, during, strict=True))


def test_a_wrapper_that_came_after_ours_is_kept():
    original = torch.autograd.backward
    try:
        with tracked():
            ours = torch.autograd.backward
            torch.autograd.backward = theirs = lambda *a, **k: ours(*a, **k)
        assert torch.autograd.backward is theirs
        torch.ones(1, requires_grad=True).sum().backward()
    finally:
        torch.autograd.backward = original


def test_a_block_inside_a_block_is_its_child():
    (x, y), outer_model, inner_model = data(), mlp(), mlp(seed=1)
    outer_opt = torch.optim.SGD(outer_model.parameters(), 0.1)
    inner_opt = torch.optim.SGD(inner_model.parameters(), 0.1)
    with tracked("outer") as outer:
        first = step(outer_model, outer_opt, x, y)
        with tracked("inner") as inner:
            inside = step(inner_model, inner_opt, x, y)
            inner.log(note=1)
        last = step(outer_model, outer_opt, x, y)
        outer.log(note=2)

    assert inner._session.spec["parent"] == outer.id
    assert outer._session.spec["parent"] is None
    assert readings(outer, "loss") == [(0, first), (1, last)]
    assert readings(inner, "loss") == [(0, inside)]
    assert (readings(outer, "metric"), readings(inner, "metric")) == ([(2, 2.0)], [(1, 1.0)])


def test_blocks_one_after_the_other_are_runs_of_their_own():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as one:
        step(model, optimizer, x, y)
    with tracked() as two:
        losses = [step(model, optimizer, x, y) for _ in range(2)]

    assert one.id != two.id
    assert two._session.spec["parent"] is None
    assert readings(two, "loss") == list(enumerate(losses))
    assert two._session.spec["index"] == one._session.spec["index"] + 1


def test_runs_in_two_threads_do_not_mix():
    (x, y), found = data(), {}
    barrier = threading.Barrier(2)

    def work(seed):
        model = mlp(seed=seed)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        # The patch of the helper is not for threads: the runs are entered one after the other.
        with lock:
            block = tracked(str(seed))
            run = block.__enter__()
        barrier.wait(30)
        losses = []
        for number in range(30):
            losses.append(step(model, optimizer, x, y))
            run.log(seed=seed, step=number)
        block.__exit__(None, None, None)
        found[seed] = (run, losses)

    lock = threading.Lock()
    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for seed, (run, losses) in found.items():
        assert readings(run, "loss") == list(enumerate(losses))
        assert {value for _, value in readings(run, "metric", "seed")} == {float(seed)}
        assert run._session.spec["parent"] is None


def test_a_forked_child_leaves_the_block_without_ending_the_run():
    pid = None
    try:
        with tracked() as run:
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            os.waitpid(pid, 0)
            run.log(after=1.0)
            content = run._session.rundir.read_json("process.json")
    except SystemExit:
        if pid == 0:
            os._exit(0)
        raise

    assert "environment_at_end" not in content
    assert len(events(run, "end")) == 1
    assert readings(run, "metric", "after") == [(0, 1.0)]


# -- log, epochs, stop ---------------------------------------------------------------------------------------------


def test_numbers_of_every_kind_are_logged(capsys):
    values = {
        "int": 3, "float": 0.5, "bool": True, "huge": 10**400, "small": -(10**400), "nan": math.nan, "inf": math.inf,
        "numpy": np.float32(0.25), "array": np.array([1.5]), "tensor": torch.tensor(2.5),
        "graph": torch.ones(1, requires_grad=True).sum(), "column": torch.tensor([[4.0]]),
        "bf16": torch.tensor(1, dtype=torch.bfloat16),
    }  # fmt: skip
    with tracked() as run:
        run.log(values)
    found = {key: readings(run, "metric", key)[0][1] for key in values}

    assert repr(found) == repr(
        {
            "int": 3.0, "float": 0.5, "bool": 1.0, "huge": math.inf, "small": -math.inf, "nan": math.nan,
            "inf": math.inf, "numpy": 0.25, "array": 1.5, "tensor": 2.5, "graph": 1.0, "column": 4.0, "bf16": 1.0,
        }
    )  # fmt: skip
    assert events(run, "rejected_metrics") == []


class Hostile:
    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", [None, "0.5", b"1", [1.0], np.ones(2), torch.ones(2), 1j, Hostile(), {}])
def test_what_is_no_number_is_left_out_and_said(value):
    with tracked() as run:
        run.log(good=1.0, bad=value, better=2.0)

    assert readings(run, "metric", "good") == [(0, 1.0)]
    assert readings(run, "metric", "better") == [(0, 2.0)]
    assert readings(run, "metric", "bad") == []
    assert list(events(run, "rejected_metrics")[0].data) == ["bad"]
    assert fault_parts(run) == []


def test_what_is_no_number_is_said_once_on_stderr(capsys):
    run = Run("x", settings={"wait_seconds": 0})
    with tracked() as other:
        other._session.terminal._quiet = False
        for _ in range(3):
            other.log(accuracy="high")

    assert capsys.readouterr().err.count("'accuracy' is not a number") == 1
    assert run._session is None


@pytest.mark.parametrize(("given", "kept"), [(7, 7), (np.int64(7), 7), (7.0, 7), (True, 1)])
def test_a_step_may_be_given(given, kept):
    with tracked() as run:
        run.log({"val/loss": 0.5}, step=given)

    assert readings(run, "metric", "val/loss") == [(kept, 0.5)]


@pytest.mark.parametrize("given", ["last", 1.5, math.nan, 10**30, [1]])
def test_a_step_that_is_none_is_said_and_the_value_kept(given):
    with tracked() as run:
        run.log({"loss": 0.5}, step=given)

    assert readings(run, "metric", "loss") == [(0, 0.5)]
    assert "step" in events(run, "rejected_metrics")[0].data


def test_logging_outside_the_block_is_an_error_that_says_where():
    run = Run("x")
    with pytest.raises(RuntimeError, match="before the tracked block"):
        run.log(loss=1)
    with tracked() as run:
        pass

    with pytest.raises(RuntimeError, match="after the tracked block"):
        run.log(loss=1)
    assert (run.should_stop, run.epoch()) == (False, None)


def test_a_rule_under_stop_ends_the_epochs():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    done = []
    with tracked(settings={"rules": {"stop": ["nonfinite-loss"]}}) as run:
        for epoch in run.epochs(5):
            step(model, optimizer, x * (math.nan if epoch == 1 else 1.0), y)
            done.append(epoch)

    assert done == [0, 1]
    assert run.should_stop
    assert run.verdict["suspicious"] == "true"


def test_without_stop_the_epochs_go_on():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in run.epochs(3):
            step(model, optimizer, x * math.nan, y)

    assert not run.should_stop
    assert {"nonfinite-input", "nonfinite-loss"} <= {finding.rule for finding in run.findings}
    assert len(events(run, "epoch")) == 3


def test_the_verdict_of_the_live_run_is_that_of_its_replay():
    from tracker.rules.engine.replay import replay
    from tracker.rules.engine.settings import Settings

    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for epoch in run.epochs(3):
            for _ in range(60):
                step(model, optimizer, x * (math.nan if epoch == 2 else 1.0), y)
            run.log(val_loss=1.0)
    trace, engine = replay(records(run), Settings.load({"wait_seconds": 0}))

    assert json.loads(json.dumps(engine.verdict(trace).as_json(), default=str)) == json.loads(
        json.dumps(run.verdict, default=str)
    )


# -- whole processes -----------------------------------------------------------------------------------------------

PRELUDE = """
import sys, os, time, signal
import torch
torch.set_num_threads(1)
from tracker import Run, track
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
def step():
    optimizer.zero_grad()
    model(torch.ones(3, 4)).pow(2).mean().backward()
    optimizer.step()
"""


def script(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "train.py"
    path.write_text(PRELUDE + textwrap.dedent(body))
    return path


def run_script(path: Path, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(root), "TRACKER_STRICT": "", **environment},
    )


def journal_of(home: str) -> JournalReader:
    (folder,) = (Path(home) / "runs").iterdir()
    return JournalReader(folder / "journal.bin")


def names(reader: JournalReader) -> list[str]:
    return [record.name for _, record in reader.read() if isinstance(record, Event)]


def test_an_uncaught_exception_is_printed_as_without_us(tmp_path, root):
    body = """
        def broken():
            torch.ones(3, requires_grad=True).sum().backward(torch.ones(2))
        def outer():
            try:
                broken()
            except RuntimeError as error:
                raise ValueError("while training") from error
        with {block}:
            step()
            outer()
    """
    bare = run_script(script(tmp_path, body.replace("{block}", "open(os.devnull)")), root)
    observed = run_script(
        script(tmp_path, body.replace("{block}", "track(Run(quiet=True, settings={'wait_seconds': 0}))")), root
    )

    assert "ValueError: while training" in bare.stderr
    assert observed.stderr == bare.stderr
    assert (observed.returncode, observed.stdout) == (bare.returncode, bare.stdout) == (1, "")


def test_a_process_that_is_terminated_notes_the_signal_and_dies_of_it(tmp_path, root):
    path = script(
        tmp_path,
        """
        with track(Run(quiet=True)):
            step()
            print("ready", flush=True)
            time.sleep(60)
    """,
    )
    process = subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    code = process.wait(20)
    process.stdout.close()
    reader = journal_of(os.environ["TRACKER_HOME"])

    assert code == -signal.SIGTERM
    assert reader.end_signal == signal.SIGTERM
    assert "end" not in names(reader)


def test_a_process_that_is_killed_leaves_its_losses(tmp_path, root):
    path = script(
        tmp_path,
        """
        with track(Run(quiet=True)) as run:
            for _ in range(7):
                step()
            run.log(val_loss=0.5)
            os.kill(os.getpid(), signal.SIGKILL)
    """,
    )
    done = run_script(path, root)
    found = [record for _, record in journal_of(os.environ["TRACKER_HOME"]).read()]

    assert done.returncode == -signal.SIGKILL
    assert [r.step for r in found if getattr(r, "signal", "") == "loss"] == list(range(7))
    assert [r.value for r in found if getattr(r, "signal", "") == "metric"] == [0.5]


def test_without_a_place_to_write_the_training_goes_on_and_says_so(tmp_path, root):
    path = script(
        tmp_path,
        """
        import tempfile
        tempfile.tempdir = os.environ["TRACKER_HOME"]
        with track() as run:
            for epoch in run.epochs(2):
                step()
                run.log(val_loss=1.0)
        print("trained", run.findings, run.should_stop, run.verdict, run.mlflow_run_id)
    """,
    )
    blocked = tmp_path / "a file"
    blocked.write_text("")
    done = run_script(path, root, TRACKER_HOME=str(blocked / "below"))

    assert done.stdout == "trained [] False None None\n"
    assert done.returncode == 0
    assert "this run is not tracked" in done.stderr


def test_torch_may_be_imported_inside_the_block(tmp_path, root):
    path = tmp_path / "train.py"
    path.write_text(
        textwrap.dedent("""
        import sys
        from tracker import Run, track
        assert "torch" not in sys.modules
        with track(Run(quiet=True, settings={"wait_seconds": 0})) as run:
            import torch
            assert type(torch.__loader__).__module__.startswith(("importlib", "_frozen")), torch.__loader__
            model = torch.nn.Linear(4, 2)
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            model(torch.ones(3, 4)).sum().backward()
            optimizer.step()
        print(run._session.step, run._session.guard.off)
    """)
    )
    done = run_script(path, root)

    assert done.stdout == "1 {}\n", done.stderr


def test_parameters_and_their_types_reach_the_journal():
    with tracked(params={"lr": 0.1}) as run:
        pass

    assert facts(run, "randomness")
