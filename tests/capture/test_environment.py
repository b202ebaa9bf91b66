"""The process describes itself quickly, without changing or importing anything, and without its secrets."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from tracker.capture.environment import capture_process, changed_switches, redact_arguments, switches

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
SHOW = "from tracker.capture.environment import capture_process as c; import json; r = c(); print(json.dumps([r.facts, [g.as_json() for g in r.gaps]]))"  # noqa: E501


def run(arguments, **kwargs):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} | kwargs.pop("env", {})
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment, **kwargs
    )
    return json.loads(done.stdout)


def test_the_facts_are_strict_json_and_name_interpreter_torch_and_threads():
    facts = json.loads(json.dumps(capture_process().facts, allow_nan=False))

    assert facts["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["torch"]["version"] == torch.__version__
    assert facts["threads"]["torch"] == 1
    assert "torch" in facts["imported"]


def test_a_process_describes_itself_in_a_few_milliseconds():
    capture_process()
    started = time.perf_counter()
    for _ in range(10):
        capture_process()
    mean = (time.perf_counter() - started) / 10

    assert mean < 0.02


def test_no_module_is_imported_by_describing_the_process():
    code = (
        "import sys; from tracker.capture.environment import capture_process as c; before = set(sys.modules); c(); "
        "print(__import__('json').dumps(sorted(m for m in set(sys.modules) - before if m.split('.')[0] "
        "in ('torch', 'numpy', 'mlflow', 'git', 'pydantic'))))"
    )

    assert run(["-c", code]) == []


def test_the_entry_of_a_script_is_its_path_arguments_and_directory(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SHOW)

    facts, gaps = run(["-X", "dev", "-O", str(script), "--lr", "0.1"], cwd=tmp_path)

    assert facts["entry"]["form"] == "script"
    assert facts["entry"]["script"] == str(script)
    assert facts["entry"]["argv"] == ["--lr", "0.1"]
    assert facts["entry"]["cwd"] == str(tmp_path)
    assert facts["python"]["flags"]["optimize"] == 1
    assert facts["python"]["x_options"] == {"dev": "True"}
    assert gaps == []


def test_the_entry_of_a_module_is_its_name(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "__init__.py").write_text("")
    (tmp_path / "job" / "__main__.py").write_text(SHOW)

    facts, gaps = run(["-m", "job", "x"], cwd=tmp_path)

    assert (facts["entry"]["form"], facts["entry"]["module"]) == ("module", "job")
    assert gaps == []


def test_code_from_standard_input_is_a_blocking_gap(tmp_path):
    facts, gaps = run(["-"], cwd=tmp_path, input=SHOW)

    assert facts["entry"]["form"] == "stdin"
    assert gaps[0]["blocking"]
    assert "standard input" in gaps[0]["what"]


def test_variables_that_change_numbers_are_kept_and_others_are_names_only(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MY_PRIVATE_NOTE", "nobody's business")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a1B2" * 9)

    variables = capture_process().facts["variables"]
    text = json.dumps(variables)

    assert variables["values"]["OMP_NUM_THREADS"] == "3"
    assert "MY_PRIVATE_NOTE" in variables["names"]
    assert "nobody" not in text
    assert "a1B2" not in text


def test_a_variable_that_the_user_allows_is_kept(monkeypatch):
    monkeypatch.setenv("MY_DATA_ROOT", "/data/sets")

    assert capture_process(["MY_DATA_ROOT"]).facts["variables"]["values"]["MY_DATA_ROOT"] == "/data/sets"


def test_secret_arguments_are_hidden_and_counted():
    shown, hidden = redact_arguments(["--api-key", "Zx81kd92Lm40Qw73", "--lr", "0.1", "--password=hunter2secret", "-v"])

    assert hidden == 2
    assert "Zx81kd92Lm40Qw73" not in shown
    assert "hunter2secret" not in " ".join(shown)
    assert shown[2:4] == ["--lr", "0.1"]


def test_a_hidden_argument_is_a_gap_since_the_command_cannot_be_repeated(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SHOW)

    facts, gaps = run([str(script), "--api-key", "Zx81kd92Lm40Qw73"])

    assert "Zx81kd92Lm40Qw73" not in json.dumps(facts)
    assert [gap["blocking"] for gap in gaps] == [True]


def test_switches_that_change_between_start_and_end_are_named_with_both_values():
    before = switches()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    try:
        after = switches()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False

    assert changed_switches(before, before) == {}
    assert changed_switches(before, after) == {
        "cudnn.benchmark": [False, True],
        "deterministic_algorithms": [False, True],
        "deterministic_warn_only": [False, True],
    }


def test_mixed_precision_settings_are_recorded_and_do_not_raise():
    code = (
        "import torch, json; from tracker.capture.environment import switches; "
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'; print(json.dumps(switches()))"
    )

    found = run(["-W", "error", "-c", code])

    assert found["fp32.cuda.matmul"] == "tf32"


def test_a_deleted_working_directory_does_not_fail_the_capture(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, tracker.capture.environment; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); {SHOW}"

    facts, _ = run(["-c", code])

    assert facts["entry"]["cwd"] is None
