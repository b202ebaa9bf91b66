"""Sends what was read of a run to its store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..rundir import RunDir
from .faults import Faults
from .feed import Emission, File, Param, Point, Tag

if TYPE_CHECKING:
    from ..stores.mlflow_writer import RunWriter


def send(writer: RunWriter, rundir: RunDir, pending: Sequence[Emission], faults: Faults) -> None:
    """Uploads points, parameters, tags and files; what went before is stored again as the same."""
    writer.metrics([(e.key, e.value, e.time, e.step) for e in pending if isinstance(e, Point)])
    writer.params({e.key: _text(e.value) for e in pending if isinstance(e, Param)})
    writer.tags({e.key: e.value for e in pending if isinstance(e, Tag)})
    for item in pending:
        if isinstance(item, File):
            _send_file(writer, rundir, item, faults)


def _send_file(writer: RunWriter, rundir: RunDir, item: File, faults: Faults) -> None:
    path = rundir.path / item.path  # an absolute path stays what it is
    if path.is_dir():
        writer.folder(path, item.folder or path.name)
    elif path.is_file():
        writer.artifact(path, item.folder)
    else:
        faults.say(f"artifact {item.path}", "the file is gone")


def _text(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        import json

        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
