"""A training in notebook cells: tracked like any other, and stored as a script that can be run again."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tracker.journal import JournalReader
from tracker.rules.engine.records import END, EPOCH, Event, Reading
from tracker.rundir import RunDir

CELLS = [
    "import torch\nfrom tracker import Run, track\ntorch.manual_seed(0)\n"
    "model = torch.nn.Linear(4, 2)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    "x, y = torch.randn(32, 4), torch.randint(0, 2, (32,))",
    "run = Run('in cells', settings={'wait_seconds': 60})\n"
    "with track(run):\n"
    "    for epoch in run.epochs(3):\n"
    "        for _ in range(4):\n"
    "            optimizer.zero_grad()\n"
    "            torch.nn.functional.cross_entropy(model(x), y).backward()\n"
    "            optimizer.step()\n"
    "        run.log(val_acc=(model(x).argmax(1) == y).float().mean())",
    "print(run.id, run.verdict['suspicious'])",
]


@pytest.mark.slow
def test_a_training_in_notebook_cells_is_tracked_and_stored_as_a_script(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbformat.write(notebook, tmp_path / "book.ipynb")

    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    run_id, suspicious = notebook.cells[-1].outputs[0]["text"].split()
    rundir = RunDir.find(run_id)
    assert rundir is not None
    known = [record for _, record in JournalReader(rundir.journal).read()]

    assert suspicious in ("false", "unknown")
    assert sum(isinstance(one, Reading) and one.signal == "loss" for one in known) == 12
    assert sum(isinstance(one, Event) and one.name == EPOCH for one in known) == 3
    assert [one.data["status"] for one in known if isinstance(one, Event) and one.name == END] == ["FINISHED"]
    assert rundir.state["reproducible"] == "true"
    script = (rundir.capture / "notebook.py").read_text()
    assert "with track(run):" in script
    assert "run.verdict" not in script  # executed when the run was over
