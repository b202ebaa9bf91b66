"""`tracker run`: an unmodified script, tracked."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from ..errors import ConfigError
from ..forwarding import end_likewise
from .output import clean, finite, is_terminal
from .progress import waiting
from .verdicts import SEVERITIES, fails

if TYPE_CHECKING:
    from ..launch import Launch
    from ..rundir import RunDir

SCRIPT, MODULE, COMMAND = "script", "module", "command"
"""How the words behind the options are meant."""
_NOTHING: dict[str, Any] = {
    "suspicious": "unknown", "findings": [], "skipped": [], "crashed": [], "why": "the run has not been judged yet",
}  # fmt: skip


class RunCommand(TyperCommand):
    """Tells our options, which stand first, from the script's, which are left byte for byte."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hands on our options alone, then which kind of command it is, then its words."""
        flags = {name: parameter.is_flag for parameter in self.params for name in getattr(parameter, "opts", ())
                 if name.startswith("-") and hasattr(parameter, "is_flag")}  # fmt: skip
        kind, ours, words = split(args, flags)
        return super().parse_args(ctx, [*ours, "--", kind, *words])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage has three forms."""
        return ["[OPTIONS]", "SCRIPT [ARGS]... | -m MODULE [ARGS]... | -- COMMAND [ARGS]..."]


class PreflightCommand(RunCommand):
    """The same, without commands: what is not Python cannot be drilled."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage has two forms."""
        return ["[OPTIONS]", "SCRIPT [ARGS]... | -m MODULE [ARGS]..."]


def split(args: Sequence[str], flags: Mapping[str, bool]) -> tuple[str, list[str], list[str]]:
    """(kind, our options, words of the script or command); `flags` says of each known option whether it has no value.

    Options that nobody knows stay with ours, where they are refused.
    """
    rest, ours = list(args), list[str]()
    while rest:
        word = rest[0]
        if word == "--":
            return COMMAND, ours, rest[1:]
        if word == "-m":
            return MODULE, ours, rest[1:]
        if word.startswith("-m") and not word.startswith("--"):
            return MODULE, ours, [word[2:], *rest[1:]]
        if not word.startswith("-") or word == "-":
            return SCRIPT, ours, rest
        ours.append(rest.pop(0))
        if rest and not flags.get(word, True):
            ours.append(rest.pop(0))
    return SCRIPT, ours, rest


def run(words: Sequence[str], options: Mapping[str, Any], json_out: Path | None, fail_on: str | None = None) -> int:
    """Runs a command as it is, tracked; returns its exit code, or ends as it did by a signal.

    `words` are the kind, then the command; `options` those of `Run`, besides `observe`; `fail_on` is the severity of a
    finding that makes 1 of the exit code 0. Raises `ConfigError` before
    anything is started.
    """
    kind, *given = words
    command = _command(kind, given)
    checked = _checked(kind, given, options)
    if json_out is not None and not json_out.absolute().parent.is_dir():
        raise ConfigError(f"--json-out {json_out}: there is no folder {json_out.absolute().parent}. Make it first.")
    if fail_on is not None and fail_on not in SEVERITIES:
        raise ConfigError(f"--fail-on {fail_on!r} is no severity. Expected one of {', '.join(SEVERITIES)}.")
    target = json_out.absolute() if json_out is not None else None
    from ..launch import prepare

    launch = prepare(checked, command)
    try:
        code = launch.run(command)
    except FileNotFoundError:
        launch.close()
        print(clean(f"tracker: {command[0]}: command not found"), file=sys.stderr)
        return 127
    except PermissionError as error:
        launch.close()
        print(clean(f"tracker: {command[0]}: {error.strerror}"), file=sys.stderr)
        return 126
    try:
        forms = _sum_up(launch, kind, given, checked, code, target)
        if code == 0 and fail_on is not None and any(fails(form, fail_on) for form in forms):
            code = 1
    except KeyboardInterrupt:
        _say(checked, "tracker: not waited for any longer; what is pending is uploaded in the background.")
    except Exception as error:
        if os.environ.get("TRACKER_STRICT") == "1":
            raise
        _say(checked, f"tracker: the run could not be summed up: {type(error).__name__}: {error}")
    sys.stdout.flush()
    return end_likewise(code)


def _say(options: Mapping[str, Any], text: str) -> None:
    if not options.get("quiet") and os.environ.get("TRACKER_QUIET") != "1":
        print(clean(text), file=sys.stderr)


def _command(kind: str, given: Sequence[str]) -> list[str]:
    if not given or not given[0]:
        missing = {SCRIPT: "a script", MODULE: "a module behind -m", COMMAND: "a command behind --"}[kind]
        raise ConfigError(
            f"tracker run: {missing} is missing. Expected SCRIPT [ARGS]..., -m MODULE [ARGS]... or -- COMMAND [ARGS]..."
        )
    if kind == COMMAND:
        return list(given)
    return [sys.executable, *(["-m"] if kind == MODULE else []), *given]


def _checked(kind: str, given: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options in the form of the plan; raises `ConfigError` for what a run would refuse later."""
    from ..options import checked

    kept = {name: value for name, value in options.items() if value not in (None, False, {}, [])}
    checked({name: value for name, value in kept.items() if name != "observe"})
    settings = Path(kept["settings"]).absolute() if "settings" in kept else None
    if settings is not None:
        if not settings.exists():
            raise ConfigError(f"--settings {kept['settings']}: there is no such file.")
        kept["settings"] = str(settings)
    _check_settings(settings or _folder(kind, given), kept.get("observe"), kept.get("profile"))
    return kept


def _folder(kind: str, given: Sequence[str]) -> Path:
    """Where the settings of the run are looked for: beside the script, as the script itself will."""
    return Path(given[0]).absolute().parent if kind == SCRIPT else Path.cwd()


def _check_settings(source: Path, observe: Any, profile: Any) -> None:
    from ..rules.engine.settings_file import read_table

    given = {name: value for name, value in (("observe", observe), ("profile", profile)) if value is not None}
    if not (source.exists() and read_table(source)[0]) and not given:
        return  # nothing is set: finding the rules can wait until a training begins
    from ..rules.engine import Settings

    if source.exists():
        Settings.load(source)
    if given:
        try:
            Settings.load(given)
        except ConfigError as error:
            raise ConfigError(f"tracker run: {error}") from None


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """`k=v` words as a mapping; raises `ConfigError` for a word without `=`, or without a key."""
    found = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"{option} {word!r} has no {'key' if equals else 'value'}. Expected {option} KEY=VALUE.")
        found[key] = value
    return found


# -- the end -----------------------------------------------------------------------------------------------------------


def _sum_up(
    launch: Launch, kind: str, given: Sequence[str], options: Mapping[str, Any], code: int, json_out: Path | None
) -> list[dict[str, Any]]:
    """Waits for the stores, says how each run went, and writes and returns the machine forms."""
    from ..launch import wait_for
    from ..report.console.terminal import Terminal

    trained = launch.runs()
    is_quiet = bool(options.get("quiet")) or os.environ.get("TRACKER_QUIET") == "1"
    runs = trained or _attempted(launch, kind, given, options, code)
    forms, whole = [], True
    for rundir in runs:
        spec = rundir.spec
        # To open a store takes seconds. A command that trained nothing is not held up for it: its run follows in the
        # background. Who asks for the machine form wants what will stand in it.
        is_waited_for = bool(trained) or json_out is not None
        with nullcontext() if is_quiet or not is_terminal() else waiting("saving the run"):
            state = wait_for(rundir, float(spec.get("wait_seconds", 60)) if is_waited_for else 0.0)
        whole &= bool(state.get("finished"))
        verdict = _verdict(rundir)
        terminal = Terminal(str(spec.get("name"))[:60], quiet=bool(options.get("quiet")))
        terminal.closing(spec["id"], str(state.get("status") or _status(rundir, code)), verdict, state)
        forms.append(_form(rundir, state, verdict))
    if json_out is not None:
        _write(json_out, {**(forms[0] if forms else _nothing(launch)), "exit_code": code, "runs": forms})
    if whole:
        launch.close()
    return forms


def _attempted(launch: Launch, kind: str, given: Sequence[str], options: Mapping[str, Any], code: int) -> list[RunDir]:
    """A run that says that there was no training; none for a script that does not even exist."""
    from ..launch import attempt
    from ..rules.engine import Settings

    script = Path(given[0]).absolute() if kind == SCRIPT else None
    if script is not None and not script.exists():
        return []
    settings = Settings.load(Path(options["settings"]) if "settings" in options else _folder(kind, given))
    name = options.get("name") or (script.stem if script is not None else Path(given[0]).name)
    spec = {
        "name": name,
        "experiment": options.get("experiment") or settings.experiment,
        "tracking_uri": options.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI") or settings.tracking_uri,
        "params": dict(options.get("params") or {}),
        "tags": dict(options.get("tags") or {}),
        "settings": settings.model_dump(mode="json"),
        "settings_folder": str(settings.path.parent) if settings.path else None,
        "wait_seconds": settings.wait_seconds,
    }
    return [attempt(launch, script, given[1:], code, spec)]


def _verdict(rundir: RunDir) -> dict[str, Any]:
    """The verdict of a run: as it was stored, else as the training process has left it."""
    from ..journal import JournalReader
    from ..rules.engine.records import VERDICT, Event

    found: Any = rundir.read_json("findings.json")
    if not found:
        try:
            for _, record in JournalReader(rundir.journal).read():
                if isinstance(record, Event) and record.name == VERDICT:
                    found = record.data
        except OSError:
            found = {}
    return {**_NOTHING, **found} if not found else dict(found)


def _status(rundir: RunDir, code: int) -> str:
    """How the run stands while its store does not know."""
    if rundir.is_alive():
        return "still running"
    return "finished" if code == 0 else "failed" if code > 0 else "killed"


def _form(rundir: RunDir, state: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
    from .verdicts import machine_form

    tags = {"reproducible": str(state.get("reproducible", "unknown")), "repro.grade": state.get("grade")}
    own = {"tracker_id": rundir.spec["id"], "name": rundir.spec.get("name"), "status": state.get("status")}
    run_id = str(state.get("mlflow_run_id") or rundir.spec["id"])
    plain = {name: value for name, value in verdict.items() if name not in ("run_id", "grade", "reproducible")}
    return {**machine_form(plain, run_id, tags), **own}  # type: ignore[arg-type]


def _nothing(launch: Launch) -> dict[str, Any]:
    from .verdicts import machine_form

    why = {"why": "no run was made"}
    return {**machine_form({**_NOTHING, **why}, "", {}), "run_id": None}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON in one move, so that nobody reads half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(finite(content), file, indent=2, ensure_ascii=False, allow_nan=False, default=str)
            file.write("\n")
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
