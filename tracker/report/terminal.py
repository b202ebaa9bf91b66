"""What a run says while it runs: on stderr only, and little.

stdout is the script's, byte for byte. The line of an epoch and findings as they come are shown when stderr is a
terminal (or with `TRACKER_LIVE=1`); the closing block always; nothing at all when quiet.
"""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, TextIO

from ..rules.engine import Outcome, Severity, Status, Trace
from ..rules.engine.signals import EPOCH_LOSS, LR, METRIC, TRAIN_ACCURACY

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
_MARKS = {"true": ("red", "SUSPICIOUS"), "false": ("green", "not suspicious"), "unknown": ("yellow", "not judged")}
_WIDTH = 110
_MAX_GAPS = 3
_MAX_METRICS = 4


class Terminal:
    """Writes to stderr; a closed or broken stderr is never an error."""

    def __init__(self, name: str, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._name = name
        self._quiet = quiet or os.environ.get("TRACKER_QUIET") == "1"
        self._stream = stream
        self._warned: set[str] = set()

    @property
    def _out(self) -> TextIO:
        return self._stream if self._stream is not None else sys.stderr

    @property
    def is_live(self) -> bool:
        """Whether epochs and findings are shown as they come."""
        chosen = os.environ.get("TRACKER_LIVE")
        return not self._quiet and (chosen == "1" if chosen else self._is_terminal())

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
        if self._quiet:
            return
        try:
            self._out.write(text + "\n")
            self._out.flush()
        except (OSError, ValueError, AttributeError):
            self._quiet = True

    def silence(self) -> None:
        """Says nothing from now on: another process speaks for the run."""
        self._quiet = True

    def warn_once(self, message: str) -> None:
        """Says something about the tracker itself, once."""
        if message not in self._warned:
            self._warned.add(message)
            self._say(self._paint("tracker: ", "yellow") + message)

    def epoch(self, trace: Trace, step: int) -> None:
        """One line for a complete epoch."""
        if not self.is_live:
            return
        parts = [f"epoch {trace.epoch + 1}", f"step {step}"]
        for label, series in (("loss", trace.series(EPOCH_LOSS)), ("train acc", trace.series(TRAIN_ACCURACY))):
            if len(series):
                parts.append(f"{label} {series[-1]:.4g}")
        for key, series in list(trace.by_subject(METRIC).items())[:_MAX_METRICS]:
            parts.append(f"{key} {series[-1]:.4g}")
        parts += [f"lr {series[-1]:.3g}" for series in list(trace.by_subject(LR).values())[:1]]
        self._say(self._paint(f"{self._name}  ", "dim") + "  ".join(parts))

    def outcome(self, outcome: Outcome, epoch: int, step: int) -> None:
        """A finding when it comes, and a rule that crashed."""
        if outcome.status is Status.CRASHED:
            self.warn_once(f"rule {outcome.rule} crashed: {outcome.reason}")
        if outcome.status is not Status.FIRED or not self.is_live or outcome.severity < Severity.WARNING:
            return
        for finding in outcome.findings[:1]:
            where = f" [{finding.subject}]" if finding.subject else ""
            when = f"epoch {epoch + 1}" if epoch >= 0 else "epoch 1"
            self._say(self._paint(f"  ! {outcome.rule}{where}", "red") + f"  {when}, step {step}: {finding.message}")

    def closing(self, run_id: str, status: str, verdict: Mapping[str, Any] | None, state: Mapping[str, Any]) -> None:
        """The block at the end: verdict, headline, grade, what to do next."""
        verdict = verdict or {}
        suspicious = str(verdict.get("suspicious", "unknown"))
        colour, text = _MARKS[suspicious]
        rule = "─" * 4
        self._say(
            f"{self._paint(rule, 'dim')} {self._paint(self._name, 'bold')} {run_id[:8]}: "
            f"{status.lower()}, {self._paint(text, colour, 'bold')} {self._paint(rule, 'dim')}"
        )
        findings = verdict.get("findings") or []
        shown = [f for f in findings if f.get("severity") != "info"] if suspicious == "true" else []
        for finding in shown[:3]:
            self._finding(finding)
        if len(shown) > 3:
            self._say(f"  and {len(shown) - 3} more: tracker check {run_id[:8]}")
        if suspicious == "unknown":
            self._wrapped("  ", str(verdict.get("why", "nothing was judged")))
        self._say(f"  suspicious={suspicious}  reproducible={state.get('reproducible', 'unknown')}" + _grade(state))
        self._missing(state)
        self._store(run_id, state)

    def _missing(self, state: Mapping[str, Any]) -> None:
        """What a restore would lack, while its owner can still do something about it."""
        gaps = [gap for gap in state.get("missing") or () if isinstance(gap, dict)]
        for gap in gaps[:_MAX_GAPS]:
            self._wrapped("  not reproducible: ", f"{gap.get('what')}. {gap.get('fix')}".rstrip(".") + ".")
        if len(gaps) > _MAX_GAPS:
            self._say(f"  and {len(gaps) - _MAX_GAPS} gaps more, in reproducibility.json")

    def _finding(self, finding: Mapping[str, Any]) -> None:
        where = f" [{finding['subject']}]" if finding.get("subject") else ""
        self._say(f"  {self._paint(str(finding['rule']) + where, 'red', 'bold')} ({finding['severity']})")
        self._wrapped("    ", str(finding["message"]))
        first, last = int(finding.get("first_epoch", 0)) + 1, int(finding.get("last_epoch", 0)) + 1
        gone = finding.get("resolved_at")
        until = f"gone at step {gone}" if gone is not None else f"last seen in epoch {last}"
        self._say(f"    since epoch {first} (step {finding['first_step']}), {until}")
        for line in finding.get("advice", [])[:3]:
            self._wrapped("    try: ", str(line))
        if finding.get("explains"):
            self._wrapped("    explains: ", ", ".join(finding["explains"]))

    def _store(self, run_id: str, state: Mapping[str, Any]) -> None:
        if state.get("finished"):
            self._say(
                f"  MLflow run {state.get('mlflow_run_id')}; browse: tracker ui; again: tracker reproduce {run_id}"
            )
            return
        reason = str(state.get("store") or "pending").rstrip(".")
        kept = "Everything is kept here and uploaded in the background; 'tracker sync' finishes what is pending."
        self._wrapped("  ", f"MLflow: {reason}. {kept}")

    def _wrapped(self, lead: str, text: str) -> None:
        self._say(textwrap.fill(text, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead)))


def _grade(state: Mapping[str, Any]) -> str:
    grade = state.get("grade")
    return f"  grade={grade}" if grade else ""
