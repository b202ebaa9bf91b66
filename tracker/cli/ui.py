"""`tracker ui`: MLflow's own UI on the store of the runs, opened at the view that shows the verdicts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ..errors import ConfigError, StoreError
from ..stores import Store, open_store
from ..stores.view import GROUPED, KEY, readable_views, save_views, view_link
from .output import ExitCode, print_json, progress, say
from .progress import leaving

HOST = "127.0.0.1"
_START_SECONDS = 180.0
_SAY_SECONDS = 10.0
"""Seconds between two lines that say that the server is still starting; it writes to the terminal itself."""
_EXPERIMENTS = 5
_GRACE_SECONDS = 10.0


def ui(port: int, tracking_uri: str | None, as_json: bool) -> int:
    """Starts the UI and stays until it ends or Ctrl-C; with a tracking server it only says where that is."""
    store = open_store(tracking_uri)
    found = list(dict.fromkeys((run.experiment_id, run.experiment) for run in store.runs(limit=200)))
    experiments = [_Shown(name, number, _make_views(store, number)) for number, name in found[:_EXPERIMENTS]]
    if not found:
        progress("The store holds no runs yet; their verdicts have a view as soon as there is one.")
    elif len(found) > _EXPERIMENTS:
        progress(f"Links to the {_EXPERIMENTS} experiments that were used last of {len(found)}:")
    if store.uri.startswith(("http://", "https://")):
        _tell(store.uri, experiments, as_json)
        return ExitCode.FINE
    chosen = _free_port(port)
    base = f"http://{HOST}:{chosen}"
    with _served(store.uri, chosen) as server:
        with leaving("the UI had not started yet, and nothing of it is left."):
            _wait_until_it_answers(server, base)
        try:
            _tell(base, experiments, as_json)
            return ExitCode.FINE if server.wait() == 0 else ExitCode.UNJUDGED
        except KeyboardInterrupt:
            return ExitCode.FINE


@contextlib.contextmanager
def _served(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server and its workers; none of them is there when the block is left, also by SIGTERM and SIGHUP."""
    artifacts = Path.cwd() / "mlartifacts"
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
    command += ["--backend-store-uri", uri, "--artifacts-destination", str(artifacts), "--workers", "1"]
    # The server and the workers it starts run in an empty folder: `mlflow.py` or `uvicorn.py` in the user's would be
    # taken for the real ones.
    with tempfile.TemporaryDirectory(prefix="soundrun-ui-", ignore_cleanup_errors=True) as empty, _ended_by_signals():
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # its own log: stdout is for the link
            cwd=empty,
            env=_environment(),
            start_new_session=True,
        )
        try:
            yield server
        finally:
            _stop(server)


def _environment() -> dict[str, str]:
    """The environment of the server: of PYTHONPATH only what MLflow itself was found in.

    MLflow's queues for evaluation jobs are eight more processes, and nothing of ours uses them: off, unless asked for.
    """
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    place = getattr(sys.modules.get("mlflow"), "__file__", None)
    given = environment.pop("PYTHONPATH", "").split(os.pathsep)
    if isinstance(place, str):
        home = os.path.dirname(os.path.dirname(os.path.abspath(place)))
        if home in [os.path.abspath(entry) for entry in given if entry]:
            environment["PYTHONPATH"] = home
    return environment


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: the server, in a group of its own, hears neither."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in (signal.SIGTERM, signal.SIGHUP):
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _Shown:
    """An experiment to which links are printed, and its views that can be shown."""

    name: str
    number: str
    views: Sequence[str]

    def link(self, base: str, view: str) -> str:
        return view_link(base, self.number, view if view in self.views else "")


def _make_views(store: Store, experiment_id: str) -> Sequence[str]:
    """Makes the views; returns those that are there. A store that refuses them is still worth looking at."""
    client = getattr(store, "client", None)
    if client is None:
        return ()
    with contextlib.suppress(Exception):
        save_views(client, experiment_id, wanted=True)
    with contextlib.suppress(Exception):
        return readable_views(client, experiment_id)
    return ()


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} on {HOST} is in use ({error.strerror}). Choose another with --port; 0 takes a free one."
            ) from error
        return int(probe.getsockname()[1])


def _wait_until_it_answers(server: subprocess.Popen[bytes], base: str) -> None:
    progress(f"starting MLflow's UI on {base}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not lead to this machine
    began = time.monotonic()
    told = _SAY_SECONDS
    while (waited := time.monotonic() - began) < _START_SECONDS:
        if waited > told:
            progress(f"starting MLflow's UI: {waited:.0f} s of {_START_SECONDS:.0f} at most")
            told += _SAY_SECONDS
        if server.poll() is not None:
            raise StoreError(f"MLflow's UI ended at once with exit code {server.returncode}; its reason stands above.")
        try:
            with direct.open(f"{base}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise StoreError(f"MLflow's UI has not answered on {base} within {_START_SECONDS:.0f} s.")


def _tell(base: str, experiments: Sequence[_Shown], as_json: bool) -> None:
    links = {one.name: one.link(base, KEY) for one in experiments}
    grouped = {one.name: one.link(base, GROUPED) for one in experiments if GROUPED in one.views}
    if as_json:
        print_json({"schema": 1, "url": base, "views": links, "grouped": grouped})
    else:
        say(base)
        for name, link in links.items():
            say(f"{name}: {link}")
            if name in grouped:
                say(f"{name}, grouped by verdict: {grouped[name]}")
    sys.stdout.flush()


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ends the server's whole group: its workers are processes of their own and outlive it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _GRACE_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
            while time.monotonic() < deadline:
                server.poll()  # a process that has ended and was not waited for is still one of the group
                os.killpg(server.pid, 0)
                time.sleep(0.05)
    server.wait()
