"""Actions as a user meets them: `tracker run` on a script, the store, a service that is told."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

from tests.actions.listening import service

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()")
SCRIPT = """
    # tracker: ignore[loss-spike] nothing but bursts
    import torch

    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(60):
        loss = model(torch.randn(8, 4)).pow(2).mean() * (float("nan") if step > 20 else 1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


@pytest.mark.slow
def test_a_script_is_told_of_its_checkpoint_stored_and_its_exit_code_is_the_findings(tmp_path):
    (tmp_path / "train.py").write_text(textwrap.dedent(SCRIPT))
    rules = '[tool.tracker.rules]\nnotify = ["nonfinite-loss"]\ncheckpoint = ["nonfinite-loss"]\n'
    (tmp_path / "pyproject.toml").write_text(rules)
    with service() as (address, posted):
        environment = {
            **os.environ,
            "TRACKER_STRICT": "0",
            "TRACKER_NOTIFY": address,
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        }

        def run(*options):
            words = [*TRACKER, "run", "--quiet", "--json-out", "verdict.json", *options, "train.py"]
            return subprocess.run(words, cwd=tmp_path, env=environment, timeout=300).returncode

        codes = run("--fail-on", "fatal"), run()
        deadline = time.monotonic() + 60
        while len(posted) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    stored = list(tmp_path.glob("mlruns/**/checkpoints/nonfinite-loss-step-*.pt"))

    assert codes == (1, 0)
    assert [message["title"] for message in posted] == ["train: nonfinite-loss (fatal)"] * 2
    assert len(stored) == 2
    assert "nonfinite-loss" in json.dumps(verdict["findings"])
    assert {one["suppressed"] for one in verdict["suppressed"]} <= {"nothing but bursts"}
