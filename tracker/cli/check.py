"""`tracker check`: the rules, asked again about what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..compare.recorded import RecordedRun
from ..errors import ConfigError, StoreError
from ..histories import History, from_metrics, parse_columns, read_history
from ..rules.engine.records import JUDGE, Event, Record
from ..rules.engine.replay import replay, with_judgements
from ..rules.engine.settings import Settings
from ..sidecar.ending import last_metrics, last_tags
from ..stalls import STORED, with_stored
from .output import is_terminal, print_json, progress, say
from .progress import counted, leaving
from .rules import load_settings
from .verdicts import exit_code, machine_form, show_verdict

_FILE_KINDS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")


def check(
    given: list[str],
    settings_file: Path | None,
    write: bool,
    experiment: str | None,
    everything: bool,
    columns: list[str],
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Judges every run and file named, prints one verdict each, and returns the exit code of all together."""
    settings = load_settings(settings_file)
    is_chosen = settings_file is not None
    mapping = parse_columns(columns)
    uri = tracking_uri or settings.tracking_uri
    if everything or experiment:
        given = [*given, *_runs_of(experiment, everything, uri)]
    if not given:
        raise ConfigError("Nothing to check. Expected a RUN_ID, a FILE, or --experiment NAME --all.")
    verdicts: list[dict[str, Any]] = []

    def left() -> str:
        kept = "their verdicts are written; " if write and verdicts else ""
        return f"{len(verdicts)} of {len(given)} were judged; {kept}the same command judges all of them anew."

    with leaving(left), counted(len(given) if len(given) > 1 or is_terminal() else 0, "judging") as begin:
        for name in given:
            begin(name)
            try:
                verdict = (
                    _check_file(Path(name), settings, mapping)
                    if is_file_name(name)
                    else _check_run(name, settings, is_chosen, uri, write)
                )
            except StoreError as error:
                if len(given) == 1:
                    raise
                progress(f"tracker: {error}")
                verdicts.append({"schema": 1, "run_id": name, "error": str(error), "suspicious": "unknown"})
                continue
            verdicts.append(verdict)
            if not as_json:
                show_verdict(name, verdict)
    if as_json:
        print_json(verdicts[0] if len(given) == 1 else verdicts)
    elif len(given) > 1:
        counts = {said: sum(one["suspicious"] == said for one in verdicts) for said in ("true", "false", "unknown")}
        say(f"{len(given)} judged: {counts['true']} suspicious, {counts['false']} not, {counts['unknown']} unknown")
    return exit_code(verdicts, settings.rules.fail_on)


def is_file_name(name: str) -> bool:
    """True for what can only be a file: it exists, or it has a directory or a known ending."""
    path = Path(name)
    return path.suffix.lower() in _FILE_KINDS or "/" in name or path.is_file()


def judge_records(records: list[Record], settings: Settings) -> dict[str, Any]:
    """The verdict on stored records, in its machine form. Where nobody judged live, epochs are found first."""
    if any(isinstance(record, Event) and record.name == JUDGE for record in records):
        trace, engine = replay(records, settings)
    else:
        trace, engine = replay(with_judgements(records), settings)
    return dict(engine.verdict(trace).as_json())


def _check_file(path: Path, settings: Settings, columns: Mapping[str, str]) -> dict[str, Any]:
    if not path.is_file():
        raise StoreError(f"There is no file {path}. Expected a trainer_state.json, CSV, JSON lines or JSON file.")
    history = read_history(path, columns)
    _tell_columns(path.name, history)
    form = machine_form(judge_records(list(history.records), settings), str(path), {})
    return {**form, "columns": dict(history.meanings), "left_out": dict(history.left_out)}


def _check_run(run_id: str, settings: Settings, is_chosen: bool, uri: str | None, write: bool) -> dict[str, Any]:
    """Judges by the settings the run was recorded with, as live, unless a file was chosen."""
    run = RecordedRun.find(run_id, uri)
    recorded = run.captured("run.json") if run.is_ours and not is_chosen else {}
    if isinstance(recorded.get("settings"), dict):
        folder = recorded.get("settings_folder")
        settings = Settings.load(recorded["settings"], Path(folder) if folder else None)
    records = run.records
    if not run.is_ours:
        history = from_metrics(records)
        _tell_columns(run.name, history)
        records = list(history.records)
    else:
        is_judged = any(isinstance(record, Event) and record.name == JUDGE for record in records)
        records = with_stored(records, run.stored(STORED), is_judged)
    if run.is_preflight:
        from ..drilling.judged import judge, unjudged
        from ..drilling.recording import verdict_of
        from ..drills import DRILLS

        verdict = verdict_of(judge(unjudged(run.records), DRILLS, settings))
        if write:
            _write(run, verdict)
        return machine_form(verdict, run.id, run.tags)
    if run.is_alive:
        progress(f"{run.name} is still training; judged is what it has said so far.")
    verdict = judge_records(records, settings)
    if run.is_ours:
        verdict = _among_relatives(run, verdict, settings)
    if write:
        _write(run, verdict)
    return machine_form(verdict, run.id, run.tags)


def _among_relatives(run: RecordedRun, verdict: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The verdict beside the earlier runs that the run was compared with when it ended; as it is without any."""
    from ..family import PEERS, SUMMARY, with_family

    own = run.stored(SUMMARY)
    return with_family(verdict, own, run.stored(PEERS), settings) if own else verdict


def _write(run: RecordedRun, verdict: Mapping[str, Any]) -> None:
    """Sets the tags and metrics by which runs are filtered and sorted in MLflow; those of a reproduction stay."""
    tags = last_tags(verdict, {"reproducible": "", "grade": ""}, "")
    metrics = last_metrics(verdict, {"grade": ""})
    metrics.pop("repro/grade", None)
    if not (run.set_tags(tags) and run.set_metrics(metrics)):
        raise StoreError(
            f"The verdict of {run.given} cannot be written: its store cannot be reached. Try 'tracker sync' first."
        )


def _tell_columns(name: str, history: History) -> None:
    if history.meanings:
        progress(
            f"{name}: " + ", ".join(f"{column} is read as {signal}" for column, signal in history.meanings.items())
        )
    for column, why in history.left_out.items():
        progress(f"{name}: {column} is not judged: {why}")


def _runs_of(experiment: str | None, everything: bool, uri: str | None) -> list[str]:
    if not (experiment and everything):
        raise ConfigError("--experiment NAME and --all belong together. Expected both, or RUN_IDs.")
    from ..stores import open_store

    return [info.run_id for info in open_store(uri).runs(experiment)]
