"""Before the long run: drills that measure, on one batch, what experts check by hand.

::

    from tracker import preflight

    result = preflight(model, loss, batch)
    print(result)
    result.check()  # raises AssertionError where a drill has failed
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .judged import Judged, Row

if TYPE_CHECKING:
    import torch

SECONDS = 90.0
"""Time for all drills together."""


class Preflight:
    """What a preflight came to. As text it is the table."""

    def __init__(self, judged: Judged, run_id: str | None = None) -> None:
        self.run_id = run_id
        """The run it is logged as; None where it was not logged."""
        self._judged = judged

    @property
    def rows(self) -> tuple[Row, ...]:
        """One for each drill."""
        return self._judged.rows

    @property
    def passed(self) -> bool:
        """Whether no drill has failed."""
        return not self._judged.has_failed

    def row(self, drill: str) -> Row:
        """The row of a drill; raises `KeyError` for one that was not asked for."""
        found = next((row for row in self.rows if row.drill == drill), None)
        if found is None:
            raise KeyError(drill)
        return found

    def as_json(self) -> dict[str, Any]:
        """The machine form."""
        return {**self._judged.as_json(), "run_id": self.run_id}

    def check(self) -> None:
        """Raises `AssertionError`, with the table, where a drill has failed."""
        if not self.passed:
            raise AssertionError(f"preflight failed\n\n{self}")

    def __str__(self) -> str:
        from .table import text

        return text(self.rows)

    def _repr_markdown_(self) -> str:
        """For notebooks that show Markdown."""
        from .table import as_markdown

        return as_markdown(self.rows)

    def _repr_html_(self) -> str:
        """For notebooks; every string in it is escaped."""
        from .table import as_html

        return as_html(self.rows)

    def __repr__(self) -> str:
        return f"<Preflight passed={self.passed} drills={len(self.rows)} run_id={self.run_id}>"


def preflight(
    model: torch.nn.Module,
    loss: Callable[..., torch.Tensor] | None,
    batch: Any,
    *,
    optimizer: Any = None,
    forward: Callable[[torch.nn.Module, Any], Any] | None = None,
    loaders: Mapping[str, Any] | None = None,
    profile: str = "unknown",
    only: tuple[str, ...] | list[str] = (),
    seconds: float = SECONDS,
    regularised: bool = False,
    log: bool = True,
    settings: Any = None,
) -> Preflight:
    """Drills a model on one batch, and leaves it, its optimizer and every random generator bit for bit as they were.

    `batch` is `(inputs, targets)` for `loss(model(inputs), targets)`, or anything else for `loss(model(batch), batch)`;
    of a longer tuple the last are the targets, and the rest go to the model one by one. A mapping or a dataclass goes
    to the model by keywords where it takes them. `forward(model, batch)` gives the output where the model is called in
    yet another way. `loss=None` takes the loss that the model computes itself. `loaders` (by split: `train`, `val`,
    `test`) are drawn from by the drills about data. `only` names drills; `seconds` is the time for all of them. With
    `regularised`, dropout, weight decay and label smoothing stay on while the batch is overfitted. With `log` the
    result becomes a run in MLflow. What the model raises when it is called once, before all drills, passes. Raises
    `ConfigError` for arguments that do not fit.
    """
    from ..drills import chosen_drills, made_drills
    from ..rules.engine import Settings
    from .calling import subject_of, tried
    from .judged import judge
    from .measuring import drive, measuring
    from .recording import record, script_folder

    chosen = chosen_drills(only)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    loaded = Settings.load(settings if settings is not None else script_folder(script))
    subject = subject_of(model, loss, batch, optimizer=optimizer, forward=forward, loaders=loaders, profile=profile)
    records: list[Any] = []
    steps = measuring(
        subject,
        made_drills(only, regularised=regularised),
        records.extend,
        lambda: judge(records, chosen, loaded).has_failed,
        seconds,
    )
    with tried(subject):
        drive(steps, subject)
    judged = judge(records, chosen, loaded)
    run_id = None
    if log:
        run_id = record(judged, loaded, f"preflight {type(model).__name__}", {"script": script}).spec["id"]
    return Preflight(judged, run_id)


__all__ = ["Preflight", "preflight"]
