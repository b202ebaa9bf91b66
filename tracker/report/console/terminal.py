"""What a run says while it runs: on stderr only, and little.

stdout is the script's, byte for byte. While a training runs, where stderr is a terminal:

- **a live line** in its last row (see `live` and `row`): epoch, step, loss, learning rate, speed, findings;
- **findings as they come**, and what is wrong with the tracker itself, as lines above the one the script is writing
  (see `screen`).

Where no row can be kept, a line for each epoch takes the place of the live line: on a screen below 6 rows or 40
columns, in the background, in CI, in a terminal that is dumb, or that another process of ours has a row of. While a
program has the screen for itself (curses, a display of rich's) nothing is drawn; what there is to say follows.

At the end there is a closing block, always, but nothing at all when quiet (`--quiet`, `TRACKER_QUIET=1`).

`TRACKER_LIVE=0` switches off all that is shown before the end, `TRACKER_LIVE=lines` the live line alone; `lines` (or
`1`) also shows the lines where stderr is no terminal. `NO_COLOR` takes the colours away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from ...rules.engine import Outcome, Severity, Status, Trace
from ...rules.engine.signals import EPOCH_LOSS, LR, METRIC, TRAIN_ACCURACY
from . import screen
from .characters import one_line, rows_of
from .closing import Look, block

if TYPE_CHECKING:
    from .live import LiveLine, Standing

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
_MAX_METRICS = 4
_NARROWEST = 20
"""Columns below which a terminal does not know its size, or shows nothing that could be read."""
_MAX_ROWS = 6
"""Rows that one message takes, at most, above what the script is writing."""
_MAX_WAITING = 100
"""Lines that are kept for when a display of the script's is over."""
_CHOICES = {"0": "off", "off": "off", "1": "lines", "lines": "lines"}
"""What `TRACKER_LIVE` may say."""


class Terminal:
    """Writes to stderr; a closed or broken stderr is never an error."""

    def __init__(self, name: str, quiet: bool = False, stream: TextIO | None = None, launch: str | None = None) -> None:
        """`launch` is the folder of the launch, where `tracker run` has started this process."""
        self._name = one_line(name)
        self._quiet = quiet or os.environ.get("TRACKER_QUIET") == "1"
        self._stream = stream
        self._launch = launch
        self._warned: set[str] = set()
        self._waiting: list[str] = []
        self._live: LiveLine | None = None
        self._may_keep_row: bool | None = None
        self._metrics: dict[str, float] = {}

    @property
    def _out(self) -> TextIO:
        return self._stream if self._stream is not None else sys.stderr

    @property
    def is_live(self) -> bool:
        """Whether epochs and findings are shown as they come."""
        chosen = _CHOICES.get(os.environ.get("TRACKER_LIVE", ""))
        return not self._quiet and (chosen == "lines" if chosen else self._is_terminal())

    def _is_terminal(self) -> bool:
        try:
            return self._out.isatty()
        except (AttributeError, ValueError):
            return False

    def _paint(self, text: str, *styles: str) -> str:
        if not self._is_terminal() or os.environ.get("NO_COLOR"):
            return text
        return "".join(f"\033[{_COLOURS[style]}m" for style in styles) + text + "\033[0m"

    def _say(self, text: str) -> None:
        """Writes a line where the cursor is."""
        if self._quiet:
            return
        try:
            self._out.write(text + "\n")
            self._out.flush()
        except (OSError, ValueError, AttributeError):
            self._quiet = True

    def _say_above(self, lead: str, text: str, *styles: str) -> None:
        """Writes a line while the script may be within one of its own; `lead` is painted."""
        if self._quiet:
            return
        fd = screen.terminal_of(self._out)
        width = 0 if fd is None else screen.size_of(fd).columns
        if fd is None or width < _NARROWEST:
            # Also a display of rich's that has taken the place of stderr, and prints above itself.
            self._say(self._paint(lead, *styles) + text)
            return
        if screen.has_live_display() or screen.has_full_screen():
            self._waiting = [*self._waiting, self._paint(lead, *styles) + text][-_MAX_WAITING:]
            return
        rows = rows_of(lead + text, width)[:_MAX_ROWS]
        if rows and rows[0].startswith(lead):
            rows[0] = self._paint(lead, *styles) + rows[0][len(lead) :]
        try:
            self._out.flush()
            screen.insert_above(fd, rows, self._out.encoding or "utf-8")
        except (OSError, ValueError):
            self._quiet = True

    def silence(self) -> None:
        """Says nothing from now on: another process speaks for the run."""
        self.release()
        self._quiet, self._may_keep_row = True, False

    def warn_once(self, message: str) -> None:
        """Says something about the tracker itself, once."""
        if message not in self._warned:
            self._warned.add(message)
            self._say_above("tracker: ", one_line(message), "yellow")

    # -- while it runs ---------------------------------------------------------------------------------------------

    def tick(self, look: Callable[[], Standing]) -> None:
        """A step is done: draws the live line if that is due. `look()` says how the training stands."""
        if self._may_keep_row is False:
            return
        if self._live is None:
            if not self._has_row():
                return
            from .live import LiveLine

            self._live = LiveLine(self._name, self._launch)
        if self._live.is_due():
            fd = screen.terminal_of(self._out)
            if fd is not None:
                self._live.draw(fd, look()._replace(metrics=self._metrics), self._out.encoding or "utf-8")

    def _is_fit_for_a_row(self) -> bool:
        """Whether a live line may be drawn at all, besides what may change while the training runs."""
        if not self.is_live or os.environ.get("TRACKER_LIVE", "") in _CHOICES or screen.terminal_of(self._out) is None:
            return False
        return "CI" not in os.environ and "PYTEST_CURRENT_TEST" not in os.environ

    def release(self) -> None:
        """Gives the row of the live line back. Safe in a signal handler; never raises."""
        if self._live is not None:
            from . import live

            live.release()

    def epoch(self, trace: Trace, step: int) -> None:
        """One line for a complete epoch, where there is no live line."""
        if not self.is_live:
            return
        for key, series in list(trace.by_subject(METRIC).items())[:_MAX_METRICS]:
            self._metrics[key] = series[-1]
        if self._has_row():
            return
        parts = [f"epoch {trace.epoch + 1}", f"step {step}"]
        for label, series in (("loss", trace.series(EPOCH_LOSS)), ("train acc", trace.series(TRAIN_ACCURACY))):
            if len(series):
                parts.append(f"{label} {series[-1]:.4g}")
        parts += [f"{one_line(key)} {value:.4g}" for key, value in self._metrics.items()]
        parts += [f"lr {series[-1]:.3g}" for series in list(trace.by_subject(LR).values())[:1]]
        if not screen.has_live_display() or screen.terminal_of(self._out) is None:
            self._say_above(f"{self._name}  ", "  ".join(parts), "dim")

    def _has_row(self) -> bool:
        """Whether the live line stands, or will as soon as the training has run for a moment."""
        if self._may_keep_row is None:
            self._may_keep_row = self._is_fit_for_a_row()
        return self._may_keep_row and not (self._live is not None and self._live.was_refused)

    def outcome(self, outcome: Outcome, epoch: int, step: int) -> None:
        """A finding when it comes, and a rule that crashed."""
        if outcome.status is Status.CRASHED:
            self.warn_once(f"rule {outcome.rule} crashed: {outcome.reason}")
        if outcome.status is not Status.FIRED or not self.is_live or outcome.severity < Severity.WARNING:
            return
        for finding in outcome.findings[:1]:
            where = f" [{one_line(finding.subject)}]" if finding.subject else ""
            when = f"epoch {epoch + 1}" if epoch >= 0 else "epoch 1"
            said = f"  {when}, step {step}: {one_line(finding.message)}"
            self._say_above(f"  ! {one_line(outcome.rule)}{where}", said, "red")

    # -- at the end ------------------------------------------------------------------------------------------------

    def begin_closing(self) -> None:
        """The row is given back, what has waited is said, and the cursor stands at the beginning of an empty line."""
        self.release()
        if self._quiet:
            return
        fd = screen.terminal_of(self._out)
        if fd is not None and not screen.has_full_screen():
            try:
                self._out.flush()
                screen.write(fd, screen.begin_line(screen.size_of(fd).columns))
            except (OSError, ValueError):
                self._quiet = True
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            self._say(line)

    def closing(self, run_id: str, status: str, verdict: Mapping[str, Any] | None, state: Mapping[str, Any]) -> None:
        """The block at the end: verdict, headline, grade, what to do next."""
        self.begin_closing()
        fd = screen.terminal_of(self._out)
        look = Look(self._paint, None if fd is None else screen.size_of(fd).columns, _has_links(fd))
        for line in block(self._name, run_id, status, verdict or {}, state, look):
            self._say(line)


def _has_links(fd: int | None) -> bool:
    return fd is not None and os.environ.get("TERM") != "linux"  # that of the kernel prints what it does not know
