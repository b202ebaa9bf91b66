"""All that a report is made from: the records of a run, and what is known of it beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...rundir import PREFLIGHT
from .gathered import Gathered


@dataclass
class Source:
    """One run, finished or going on. Everything in it comes from outside and may be anything."""

    run_id: str
    """Its own id; of a run that plain MLflow code logged, MLflow's."""
    name: str = ""
    experiment: str = ""
    mlflow_id: str = ""
    status: str = ""
    """FINISHED, FAILED, KILLED or RUNNING."""
    how: str = ""
    """How it ended, in words."""
    started: float | None = None
    ended: float | None = None
    """Unix seconds."""
    is_ours: bool = True
    """False for a run that plain MLflow code logged: of such there are metrics, parameters and tags."""
    verdict: Mapping[str, Any] = field(default_factory=dict)
    """As in `findings.json`; of a run that goes on, as far as was judged."""
    proof: Mapping[str, Any] = field(default_factory=dict)
    """As in `reproducibility.json`."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    captured: Mapping[str, Any] = field(default_factory=dict)
    """Content of the files under `capture/`, by file name: JSON parsed, text as it is, nothing that is larger than
    a report may be."""
    gathered: Gathered = field(default_factory=Gathered)

    @property
    def is_preflight(self) -> bool:
        """Whether it is of drills before a training: in such a run nothing was trained."""
        return self.tags.get("tracker.kind") == PREFLIGHT or "preflight" in self.verdict

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.status == "RUNNING"
