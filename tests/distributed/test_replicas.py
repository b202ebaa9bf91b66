"""Replicas that drift apart: two processes that train together, or only believe they do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.groups import start_ranks
from tracker.rules import NotApplicable, Severity
from tracker.rules.setup.replica_divergence import ReplicaDivergence
from tracker.rules.testing import judge

SCRIPT = """
import json, os, sys
import torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tests.trainings import tracked

kind = sys.argv[1]
torch.set_num_threads(1)
dist.init_process_group("gloo")
with tracked() as run:
    torch.manual_seed(dist.get_rank() if kind == "seeded apart" else 0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    model = DistributedDataParallel(model) if kind == "wrapped" else model
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(10 + dist.get_rank())
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(0, 3, (8,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    dist.barrier()
if dist.get_rank() == 0:
    print(json.dumps(run.verdict))
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "is_found"), [("wrapped", False), ("alone", True), ("seeded apart", True)])
def test_ranks_that_train_alone_are_found(
    kind: str, is_found: bool, start: Callable[..., Any], tmp_path: Path, cwd: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    ranks = start_ranks(start, [sys.executable, str(script), kind], cwd)
    said = [process.communicate(timeout=240) for process in ranks]
    verdict = json.loads(said[0][0].decode().splitlines()[-1])
    found = [one for one in verdict["findings"] if one["rule"] == "replica-divergence"]

    assert [process.returncode for process in ranks] == [0, 0], said
    assert bool(found) is is_found
    assert ("replica-divergence" in verdict["clear"]) is not is_found
    assert verdict["findings"][:1] == found[:1] or not is_found


def _ranks(**differ: dict[str, Any]) -> dict[str, Any]:
    return {"world_size": 2, "seen": [0, 1], "differ": {name.replace("_", "/"): told for name, told in differ.items()}}


APART = {"0": "a1", "1": "b2"}


def test_it_is_an_error_that_names_the_missing_wrapper() -> None:
    (found,) = judge(
        ReplicaDivergence(), facts={"ranks": _ranks(weights_end=APART), "model": {"": {"class": "Net", "wrapper": ""}}}
    )

    assert ReplicaDivergence.severity is Severity.ERROR
    assert "2 different sets of weights on 2 ranks since some step after the first" in found.message
    assert found.advice[0].startswith("Wrap the model in DistributedDataParallel")


def test_replicas_that_were_never_the_same_are_found_where_they_have_the_same_parameters() -> None:
    both = {"weights_start": APART, "weights_end": APART}

    assert judge(ReplicaDivergence(), facts={"ranks": _ranks(**both)})
    with pytest.raises(NotApplicable, match="parts of one model"):
        judge(ReplicaDivergence(), facts={"ranks": _ranks(**both, parameters=APART)})


@pytest.mark.parametrize("wrapper", ["FullyShardedDataParallel", "DeepSpeedEngine", "FSDPNet"])
def test_sharded_models_are_not_judged(wrapper: str) -> None:
    with pytest.raises(NotApplicable, match="holds a part"):
        judge(
            ReplicaDivergence(),
            facts={"ranks": _ranks(weights_start=APART), "model": {"": {"class": wrapper, "wrapper": ""}}},
        )


def test_rates_that_differ_are_a_finding_of_their_own() -> None:
    (found,) = judge(ReplicaDivergence(), facts={"ranks": _ranks(lr_0={"0": 0.1, "1": 0.2})})

    assert (found.subject, "0.1 to 0.2" in found.message) == ("lr/0", True)
