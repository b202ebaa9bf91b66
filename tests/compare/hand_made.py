"""Runs made by hand, as training and sidecar leave them in their folders: for comparisons without a training."""

import json
import subprocess

from tracker.capture.code import CodeLimits, capture_code
from tracker.capture.data import digest_files
from tracker.journal import Journal
from tracker.rules.engine.records import END
from tracker.rundir import RunDir, new_id

LOSSES = (1.0, 0.5, 0.25, 0.125)


def make_repository(folder, **files):
    """A repository with `train.py` and `files`, all committed."""
    folder.mkdir()
    (folder / "train.py").write_text("lr = 0.1\n")
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def environment(threads=1, packages=None, variables=None, switches=None, hardware=None, torch="2.9.0"):
    rows = {"torch": "2.9.0", "numpy": "2.0.0", **(packages or {})}
    return {
        "process": {
            "python": {"version": "3.11.0"},
            "torch": {"version": torch},
            "threads": {"torch": threads, "affinity": 8},
            "variables": {"values": variables or {}},
            "switches": switches or {},
            "imported": ["torch", "numpy"],
        },
        "hardware": {"cpu": {"model": "one"}, **(hardware or {})},
        "packages": [
            {"name": name, "version": version, "imported": name not in ("pytest", "unused"), "record": version}
            for name, version in rows.items()
        ],
    }


def seeding(torch_seed=None, states="s"):
    """`randomness.json` of a run that was given `torch_seed`, or none."""
    seeded = torch_seed is not None
    return {
        "seeding": {
            "torch_seeded": seeded,
            "torch_seed": str(torch_seed) if seeded else None,
            "hash_seed": f"hash {states}",
            "digests": {"python": states, "torch": f"seed {torch_seed}" if seeded else states},
        }
    }


def record(
    project,
    losses=LOSSES,
    *,
    start="w0",
    end="w",
    params=None,
    argv=("train.py",),
    data=(),
    surroundings=None,
    randomness=None,
    loaded=("train.py",),
    epoch_ends=(),
):
    """A finished run of `project`; returns its ID. `losses` are those of its steps, `start` its first weights."""
    spec = {"schema": 1, "id": new_id(), "name": "r", "params": params or {}, "index": 0, "argv": list(argv)}
    rundir = RunDir.create(spec)
    capture_code(project, rundir.capture, CodeLimits(), script=project / "train.py")
    digest_files([project / name for name in data], rundir.capture, root=project)
    (rundir.capture / "environment.json").write_text(json.dumps(surroundings or environment()))
    (rundir.capture / "randomness.json").write_text(json.dumps(randomness or seeding(1)))
    root = json.loads((rundir.capture / "code.json").read_text())["root"]
    rundir.write_json("process.json", {"loaded_files": [f"{root}/{name}" for name in loaded]})
    journal = Journal(rundir.journal)
    for step, loss in enumerate(losses):
        journal.reading("loss", "", step, loss)
        if step in epoch_ends:
            journal.event("epoch", step, {"last_step": step})
    journal.fact("weights", len(losses), {"start": start, "end": end})
    journal.event(END, len(losses), {"status": "FINISHED"})
    journal.close()
    return rundir.spec["id"]
