"""A browser, and MLflow's own pages as `tracker ui` serves them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tracker.sidecar.ending import last_metrics, last_tags
from tracker.stores.view import save_views

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--window-size=1440,900",
)  # fmt: skip
SECONDS = 120.0
"""How long is waited for what a machine with nothing else to do shows within seconds."""

HOSTILE = (
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'>`x`|[a](javascript:window.hacked=3)"
    "<!-- tracker:end --> @me :smile: http://evil.example www.evil.example a@evil.example ![i](http://evil.example/i)"
)

TRAINING = f"""
import torch
from torch import nn
from tracker import Run, track

HOSTILE = {HOSTILE!r}
torch.manual_seed(0)
model = nn.Sequential()
model.add_module(HOSTILE.replace(".", " "), nn.Linear(8, 16))
model.add_module("|", nn.Linear(16, 2))
y = torch.arange(256) % 2
x = torch.randn(2, 8)[y] + 0.7 * torch.randn(256, 8)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 32, shuffle=True)
optimizer = torch.optim.SGD(model.parameters(), 1e9)
run = Run(HOSTILE, params={{"a|b <i>": HOSTILE}})
with track(run):
    for epoch in range(6):
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
print(run.id)
"""


@dataclass(frozen=True)
class Site:
    """What `tracker ui` serves, and what it printed."""

    base: str
    view: str
    grouped: str
    place: Path
    environment: Mapping[str, str]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.environment["MLFLOW_TRACKING_URI"])


@dataclass(frozen=True)
class Trained:
    """A run of a training, and where its pages are."""

    run_id: str
    page: str

    def artifact(self, name: str) -> str:
        """The address of an artifact's page."""
        return f"{self.page}/artifacts/{name}"


class Page:
    """A browser in which MLflow's pages are opened and read."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, shows: str) -> str:
        """Opens a page anew, waits until it shows a text, and returns all that can be read on it."""
        self.driver.get("about:blank")  # a change behind the # alone would be the same page still
        self.driver.get(address)
        return self.wait_for(shows)

    def wait_for(self, shows: str) -> str:
        """Waits until the page shows a text, and returns all that can be read on it."""
        deadline = time.monotonic() + SECONDS
        while shows not in (text := self.text):
            if time.monotonic() > deadline:
                pytest.fail(f"{shows!r} is not on the page after {SECONDS:g} s:\n{text}")
            time.sleep(0.1)
        return text

    @property
    def text(self) -> str:
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def cells(self, column: str) -> list[str]:
        """What the table of runs shows in a column, from the top."""
        return list(
            self.run(
                "return [...document.querySelectorAll('[role=gridcell]')]"
                f".filter(cell => cell.getAttribute('col-id') === {column!r})"
                ".sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)"
                ".map(cell => cell.innerText.trim())"
            )
        )


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Page]:
    """The browser."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(switch)
    # By its path: selenium would otherwise look for a driver on the network.
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        driver.set_page_load_timeout(SECONDS)
        driver.get(f"{site.base}/health")
        # MLflow's panel of an assistant opens by itself when its pages are seen for the first time.
        driver.execute_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
        yield Page(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Site]:
    """`tracker ui` on a store with three runs; skipped, with what to install, where there is no browser."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium or no chromedriver on PATH; with Debian: apt-get install chromium chromium-driver")
    place = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "MLFLOW_"))}
    environment |= {
        "TRACKER_HOME": str(place / "home"),
        "TRACKER_NO_RESOLVE": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
    }
    _make_runs(MlflowClient(environment["MLFLOW_TRACKING_URI"]), place)
    command = [sys.executable, "-c", "from tracker.cli import main; main()", "ui", "--port", "0"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=place
    )
    assert server.stdout is not None
    try:
        base, view, grouped = (server.stdout.readline().strip().rpartition(" ")[2] for _ in range(3))
        yield Site(base, view, grouped, place, environment)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
        server.stdout.close()


def _make_runs(client: MlflowClient, place: Path) -> None:
    """Runs with the tags and metrics that runs of ours have when they have ended."""
    experiment = client.create_experiment("browser", str(place / "artifacts"))
    for name, verdict, grade in (("fine", "false", "R5"), ("faulty", "true", "R2"), ("short", "unknown", "R1")):
        run_id = client.create_run(experiment, run_name=name).info.run_id
        findings = [{"rule": "overfitting", "severity": "warning"}] if verdict == "true" else []
        said = {"suspicious": verdict, "findings": findings}
        proof = {"reproducible": "false" if grade == "R1" else "true", "grade": grade}
        for key, value in last_tags(said, proof, "").items():
            client.set_tag(run_id, key, value)
        for key, number in {**last_metrics(said, proof), "val/loss": 0.25, "val_f1": 0.75}.items():
            client.log_metric(run_id, key, number)
    save_views(client, experiment, ["val/loss", "val_f1"])


@pytest.fixture(scope="session")
def trained(site: Site) -> Trained:
    """A training whose every name is hostile, in a repository with uncommitted changes."""
    project = site.place / "project"
    project.mkdir()
    git = ["git", "-C", str(project), "-c", "user.email=a@b.c", "-c", "user.name=a"]
    (project / "train.py").write_text(TRAINING)
    (project / "notes.py").write_text("x = 1\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    (project / "notes.py").write_text("x = '''\n```\n<script>window.hacked=4</script>\n'''\n")
    command = [sys.executable, "train.py"]
    done = subprocess.run(
        command, check=True, cwd=project, env=dict(site.environment), stdout=subprocess.PIPE, text=True
    )
    search = f"tags.`tracker.id` = '{done.stdout.strip()}' AND tags.`repro.grade` LIKE 'R%'"
    deadline = time.monotonic() + SECONDS
    while not (found := site.client.search_runs(["0"], search)) and time.monotonic() < deadline:
        time.sleep(0.5)  # a machine at its limit is still uploading
    run = found[0].info
    return Trained(run.run_id, f"{site.base}/#/experiments/{run.experiment_id}/runs/{run.run_id}")
