"""The command `tracker`: judge runs, explain rules, compare runs, do a run again.

Results go to stdout, progress and errors to stderr. Exit codes: 0 fine, 1 findings or a difference, 2 could not be
judged, 64 wrong usage. Every command has `--json`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED = 130
"""As a shell tells of a program that SIGINT has ended."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its code; never returns."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    code = run(given)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; without this Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code; the one place where errors become words."""
    try:
        from .app import app
        from .output import ExitCode, wants_traceback
        from .progress import Interrupted

        try:
            code = app(list(arguments), prog_name="tracker", standalone_mode=False)
            if code == _INTERRUPTED and list(arguments[:1]) != ["run"]:  # typer's; that of `run` is the script's own
                return _interrupted()
            return int(code) if isinstance(code, int) else ExitCode.FINE
        except Interrupted as stop:
            return _interrupted(str(stop))
        except (BrokenPipeError, SystemExit):
            # Typer ends the process itself when the reader of a pipe has gone: that is no finding.
            return ExitCode.FINE
        except Exception as error:
            if wants_traceback():
                raise
            return _explain(error, "--json" in arguments)
    except KeyboardInterrupt:
        return _interrupted()


def _interrupted(left: str = "") -> int:
    """Says in one line that Ctrl-C has ended the command, and what is left; returns the exit code for that."""
    from ..report.console.characters import one_line

    print(f"tracker: interrupted{f'; {one_line(left)}' if left else ''}", file=sys.stderr)
    return _INTERRUPTED


def _explain(error: Exception, as_json: bool) -> int:
    from ..errors import ConfigError, TrackerError
    from .output import ExitCode, clean, print_json

    names = {cls.__name__ for cls in type(error).__mro__}
    if "Abort" in names:
        return _interrupted()
    # Typer brings a click of its own in some versions and uses the installed one in others: told by name.
    if "ClickException" in names:
        context = getattr(error, "ctx", None)
        message = error.format_message()  # type: ignore[attr-defined]
        where = context.command_path if context is not None else "tracker"
        hint = f"Run '{where} --help' for what is possible."
        code = ExitCode.USAGE
    elif isinstance(error, ConfigError):
        message, hint, code = str(error), "", ExitCode.USAGE
    elif isinstance(error, TrackerError):
        message, hint, code = str(error), "", ExitCode.UNJUDGED
    else:
        message = f"{type(error).__name__}: {error}"
        hint = "This is a fault of tracker itself. Run again with TRACKER_DEBUG=1 for the traceback."
        code = ExitCode.UNJUDGED
    print(clean(f"tracker: {message}"), file=sys.stderr)
    if hint:
        print(clean(hint), file=sys.stderr)
    if as_json:
        print_json({"schema": 1, "error": message, "kind": type(error).__name__})
    return code
