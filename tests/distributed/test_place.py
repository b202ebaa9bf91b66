"""Which rank a process is, told without asking another one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tracker.distributed import Place, place

ELASTIC = {
    "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0",
}  # fmt: skip


def in_environment(monkeypatch: pytest.MonkeyPatch, index: int = 0, **variables: str) -> Place:
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return place(index)


def test_a_process_of_which_nothing_says_otherwise_is_alone():
    assert place() == Place()
    assert place().is_alone
    assert not place().is_member


def test_torchrun_tells_rank_world_size_and_local_rank(monkeypatch):
    found = in_environment(monkeypatch, **ELASTIC)

    assert (found.rank, found.world_size, found.local_rank, found.attempt) == (1, 4, 1, 0)
    assert found.is_member
    assert found.folder("abc") == f"groups/{found.key}/1-abc"


def test_all_ranks_of_one_training_have_the_same_key_and_no_other_training_has(monkeypatch):
    mine = in_environment(monkeypatch, **ELASTIC).key
    others = [
        in_environment(monkeypatch, **{**ELASTIC, name: value}).key
        for name, value in (("MASTER_PORT", "29501"), ("TORCHELASTIC_RUN_ID", "b"), ("TORCHELASTIC_RESTART_COUNT", "1"))
    ]

    assert in_environment(monkeypatch, **{**ELASTIC, "RANK": "0", "LOCAL_RANK": "0"}).key == mine
    assert in_environment(monkeypatch, index=1, **ELASTIC).key != mine
    assert len({mine, *others}) == 4


def test_a_restart_by_torchelastic_is_another_attempt(monkeypatch):
    assert in_environment(monkeypatch, **{**ELASTIC, "TORCHELASTIC_RESTART_COUNT": "2"}).attempt == 2


@pytest.mark.parametrize(
    "variables",
    [
        {**ELASTIC, "WORLD_SIZE": "1", "RANK": "0"},
        {**ELASTIC, "RANK": "4"},
        {**ELASTIC, "RANK": "one"},
        {"RANK": "1", "WORLD_SIZE": "2"},
        {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"},
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "MASTER_PORT": "1"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "MASTER_PORT": "1"},
    ],
)
def test_variables_that_do_not_say_that_processes_train_together_mean_nothing(monkeypatch, variables):
    """Ten independent trainings that a scheduler starts are ten runs; none of them may be lost to another."""
    assert in_environment(monkeypatch, **variables).is_alone


@pytest.mark.parametrize(
    "names", [("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")]
)
def test_a_scheduler_counts_where_a_rendezvous_is_named(monkeypatch, names):
    rank, world_size = names
    found = in_environment(monkeypatch, **{rank: "3", world_size: "8", "MASTER_PORT": "1", "MASTER_ADDR": "a"})

    assert (found.rank, found.world_size) == (3, 8)


def test_a_stored_place_comes_back_and_anything_else_is_alone():
    found = Place(2, 4, 2, 1, "k")

    assert Place.from_json(found.as_json()) == found
    assert Place.from_json(None) == Place.from_json({"odd": 1}) == Place()


SCRIPT = """
import os, sys
from tracker.distributed import _rendezvous, place
assert place().world_size == 2
assert not {"torch", "multiprocessing"} & set(sys.modules), "imported"
import torch.distributed as dist
for options in (
    lambda: {"init_method": f"file://{sys.argv[1]}"},
    lambda: {"store": dist.TCPStore("127.0.0.1", 0, 1, True)},
):
    dist.init_process_group("gloo", rank=0, world_size=1, **options())
    os.environ["MASTER_PORT"] = "1"
    assert place().is_alone
    del os.environ["MASTER_PORT"]
    print(_rendezvous())
    dist.destroy_process_group()
"""


def test_nothing_is_imported_and_an_initialised_group_stands_before_the_environment(tmp_path, root):
    environment = {**os.environ, **ELASTIC, "WORLD_SIZE": "2", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "store")], env=environment, capture_output=True, text=True
    )
    met = done.stdout.split()

    assert done.returncode == 0, done.stderr
    assert met[0] == str(tmp_path / "store")
    assert met[1].startswith("127.0.0.1:")
