"""Observed and bare training are the same, bit by bit: results, random states, warnings, stdout and exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("compiled", "loaders_with_workers")
STEPS = {
    "sgd": 14, "adam_fused": 14, "adamw_foreach": 14, "adagrad_with_a_tensor_rate": 14, "lbfgs": 3, "gan": 12,
    "accumulation_and_clipping": 12, "mixed_precision": 14, "loaders_with_workers": 20, "copied_and_saved": 4,
    "checkpointed": 5, "functional_transforms": 4, "hooks_on_saved_tensors": 5, "own_optimizer": 5,
    "sparse_embedding": 8, "double_backward_and_locals": 3, "random_numbers_of_all_kinds": 3,
    "passes_of_every_kind": 14,
    "losses_of_many_terms": 12, "losses_that_are_cut_off": 4,
    "evaluated": 15, "augmented_in_workers": 8,
    "optimizers_that_come_and_go": 12, "weights_changed_by_hand": 12, "fused_steps_that_are_skipped": 9,
    "best_state_put_back": 8, "right_answers_counted": 15,
}  # fmt: skip
"""The steps that are counted. Within a compiled function (`compiled`) nothing is."""


def run_both(root: Path, names: list[str]) -> dict[str, subprocess.CompletedProcess[str]]:
    processes = {
        how: subprocess.Popen(
            [sys.executable, "-m", "tests.twins", how, *names],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for how in ("bare", "observed")
    }
    found = {}
    for how, process in processes.items():
        out, err = process.communicate(timeout=300)
        found[how] = subprocess.CompletedProcess(names, process.returncode, out, err)
    return found


def seen_alike(found: dict[str, subprocess.CompletedProcess[str]]) -> list[str]:
    """Names of the trainings that were observed and left alike, in order."""
    bare, observed = found["bare"], found["observed"]
    assert bare.returncode == 3, bare.stderr
    assert observed.returncode == 3, observed.stderr
    assert observed.stdout == bare.stdout
    seen = {
        line["name"]: line for line in map(json.loads, filter(lambda s: s[:1] == "{", observed.stderr.splitlines()))
    }
    for name, line in seen.items():
        assert line["off"] == {}
        # A difference of zero may also mean that nothing was observed.
        assert line["steps"] == STEPS.get(name, line["steps"]) > 0
    return list(seen)


def test_trainings_of_every_kind_are_left_as_they_are(root):
    names = [name for name in STEPS if name not in SLOW]

    assert seen_alike(run_both(root, names)) == names


@pytest.mark.slow
def test_compiled_models_and_worker_processes_are_left_as_they_are(root):
    assert seen_alike(run_both(root, list(SLOW))) == list(SLOW)
