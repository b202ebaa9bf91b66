"""All commands and their options. What a command does is in a module of its own, loaded when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .launching import PreflightCommand, RunCommand
from .output import ExitCode

app = typer.Typer(
    name="tracker",
    help="Judge trainings, explain the rules, compare runs, and do a run again by its ID.",
    epilog="Exit codes: 0 fine · 1 findings or a difference · 2 could not be judged · 64 wrong usage.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rules_app = typer.Typer(help="List the rules, explain one, and say why one is on or off.", no_args_is_help=False)
app.add_typer(rules_app, name="rules")

Json = Annotated[bool, typer.Option("--json", help="Print the machine form on stdout.")]
Settings = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="TOML file with settings, instead of the nearest pyproject.toml."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", "--uri", metavar="URI", help="Where MLflow is, instead of the default store."),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"tracker {version('soundrun')}")
        except PackageNotFoundError:
            print("tracker (not installed as a distribution)")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> int:
    if context.invoked_subcommand is None:
        print(context.get_help())
    return ExitCode.FINE


@app.command("run", cls=RunCommand)
def run_(
    words: Annotated[list[str], typer.Argument(metavar="SCRIPT [ARGS]...", hidden=True)],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the run.")] = None,
    experiment: Annotated[str | None, typer.Option("--experiment", metavar="NAME", help="MLflow experiment.")] = None,
    settings: Settings = None,
    tracking_uri: TrackingUri = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag of the run. May be repeated.")
    ] = None,
    params: Annotated[
        list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A hyperparameter. May be repeated.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="What is trained, when it is not to be inferred.")
    ] = None,
    observe: Annotated[
        str | None, typer.Option("--observe", metavar="HOW", help="How closely: light, standard or full.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing on stderr.")] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json-out", metavar="FILE", help="Write the verdict to a file, as JSON.")
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="SEVERITY", help="Exit with 1 on a finding of this severity or worse."),
    ] = None,
) -> int:
    """Run a training script as it is, and track it.

    Our options stand before the script, the script's own behind it. Any other command stands behind --:
    tracker run -- torchrun --nproc-per-node 2 train.py. The exit code is the script's own; 64 for wrong usage.
    With --fail-on, a script that ended with 0 exits with 1 when a rule found info, warning, error or fatal.
    """
    from .launching import pairs
    from .launching import run as do

    given = {
        "name": name,
        "experiment": experiment,
        "settings": None if settings is None else str(settings),
        "tracking_uri": tracking_uri,
        "tags": pairs(tags or [], "--tag"),
        "params": pairs(params or [], "--param"),
        "profile": profile,
        "observe": observe,
        "quiet": quiet,
    }
    return do(words, given, json_out, fail_on)


@app.command("preflight", cls=PreflightCommand)
def preflight_(
    words: Annotated[list[str], typer.Argument(metavar="SCRIPT [ARGS]...", hidden=True)],
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="DRILL", help="Do this drill alone. May be repeated.")
    ] = None,
    settings: Settings = None,
    tracking_uri: TrackingUri = None,
    seconds: Annotated[float, typer.Option("--seconds", metavar="N", help="Time for all drills together.")] = 90.0,
    start_seconds: Annotated[
        float, typer.Option("--start-seconds", metavar="N", help="Time for the script to come to its training.")
    ] = 60.0,
    regularised: Annotated[
        bool,
        typer.Option("--regularised", help="Overfit with dropout, weight decay and label smoothing left on."),
    ] = False,
    no_log: Annotated[bool, typer.Option("--no-log", help="Do not log the result to MLflow.")] = False,
    as_json: Json = False,
) -> int:
    """Try a training script out before the long run: drills on one batch, in a copy of its folder.

    The script is run as it is; its own loop is given the same batch again and again, and stopped when the drills are
    over. Exit codes: 0 all passed, 1 one has failed, 2 none could be done.
    """
    from .preflight import preflight as do

    return do(words, only or [], settings, tracking_uri, seconds, start_seconds, regularised, not no_log, as_json)


@app.command()
def check(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN_ID|FILE...", help="Runs, or files with a history of metrics.")
    ] = None,
    settings: Settings = None,
    write: Annotated[bool, typer.Option("--write", help="Store the verdict in the tags of the runs.")] = False,
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="NAME", help="With --all: judge the runs of this experiment.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Judge every run of --experiment.")] = False,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=COLUMN", help="What a column of a file means, e.g. loss=train_loss."),
    ] = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> int:
    """Judge stored runs again, or histories that other tools wrote.

    FILE may be a trainer_state.json of Transformers, CSV, JSON lines or JSON.
    """
    from .check import check as do

    return do(runs or [], settings, write, experiment, everything, columns or [], tracking_uri, as_json)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="ID of a run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="ID of another run.")],
    swap: Annotated[
        list[str] | None,
        typer.Option("--swap", metavar="ID|all", help="Run A again with this difference taken from B; repeatable."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="With --swap: run only the first N steps.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --swap: do not ask before stored code is executed.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="With --swap: keep what is run in DIR-1, DIR-2, ..."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="With --swap: end each run after this.")
    ] = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> int:
    """Say what differs between two runs, which number was the first to differ, and what most likely made it."""
    from .compare import compare as do

    return do(a, b, tracking_uri, as_json, swap or (), steps, yes, into, timeout)


@app.command("compare-models")
def compare_models_(
    a: Annotated[str, typer.Argument(metavar="A", help="FILE.py:ATTRIBUTE[@CHECKPOINT.pt], or a checkpoint alone.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other, likewise.")],
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="FILE", help="A batch: FILE.pt, or FILE.py:ATTRIBUTE.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option("--shape", metavar="N,N,...", help="Random numbers of this shape instead.")
    ] = None,
    below: Annotated[
        int | None, typer.Option("--below", metavar="N", min=1, help="With --shape: integers from 0 to N - 1.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option("--names", metavar="FILE", help='JSON with {"name in A": "name in B"}.')
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", metavar="NAME", help="Of torch.nn.functional, for a batch with targets.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="In training mode: dropout, running statistics.")] = False,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Do not put A's weights into B; so with two checkpoints.")
    ] = False,
    rtol: Annotated[float | None, typer.Option("--rtol", min=0, help="Let this decide, not float64.")] = None,
    atol: Annotated[float | None, typer.Option("--atol", min=0, help="Likewise.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load checkpoints that hold more than tensors; that runs code in them.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a page.")] = None,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Also write the pictures.")] = None,
    as_json: Json = False,
) -> int:
    """Run two models on one batch, and say which layer is the first whose output, or gradient, differs.

    The files that are named are executed, and forward of both models is called; nothing else runs. A's weights are put
    into B, unless both have a checkpoint. Two checkpoint files alone are compared by name, and nothing is executed.
    """
    from .compare_models import Asked, do

    asked = Asked(batch, shape, below, names, loss, train, keep_weights, rtol, atol, trust, html, png, as_json)
    return do(a, b, asked)


@app.command()
def reproduce(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="ID of the run to do again.")] = None,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="New folder; ./reproduced-<id> without it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before stored code is executed.")] = False,
    use_current_env: Annotated[
        bool, typer.Option("--use-current-env", help="Go on in this Python, whatever differs from the recorded one.")
    ] = False,
    rebuild_env: Annotated[
        bool, typer.Option("--rebuild-env", help="Build the recorded environment even where this one is equal.")
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="OLD=NEW", help="Where data is now: a file or folder; may be given again."),
    ] = None,
    use_current_data: Annotated[
        bool, typer.Option("--use-current-data", help="Go on although data files are not the recorded ones.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="REPOSITORY", help="Where a commit is that the stored code builds on."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=1, help="Run and compare only the first N optimizer steps."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Run and compare only the first N epochs.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", metavar="NAME", help="Do all runs of this experiment again.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPRESSION", help="With --experiment: an MLflow search expression."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0, help="End the re-run after this time.")
    ] = None,
    until: Annotated[
        int | None,
        typer.Option("--until", metavar="STEP", min=0, help="End behind this step; judge, not grade."),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Look closely at the steps ahead of STEP, or all; judge, not grade."),
    ] = False,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> int:
    """Restore a run's code, environment and randomness, run it again, and grade how much came out the same."""
    from ..errors import ConfigError
    from ..reproduce.plan import Closer
    from .reproduce import Options
    from .reproduce import reproduce as do

    options = Options(
        into=into,
        yes=yes,
        use_current_env=use_current_env,
        rebuild_env=rebuild_env,
        data=tuple(data or ()),
        use_current_data=use_current_data,
        base=base,
        steps=steps,
        epochs=epochs,
        timeout=timeout,
        closer=Closer(until, debug),
        as_json=as_json,
    )
    if experiment is not None:
        if run_id is not None:
            raise ConfigError("Give a RUN_ID or --experiment, not both.")
        from .reproduce_many import reproduce_many

        return reproduce_many(experiment, only or "", options, tracking_uri)
    if run_id is None:
        raise ConfigError("Nothing to reproduce. Expected a RUN_ID, or --experiment NAME for all runs of one.")
    if only is not None:
        raise ConfigError("--filter chooses among the runs of an experiment: give --experiment NAME with it.")
    return do(run_id, options, tracking_uri)


@app.command()
def sync(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN_ID]...", help="Runs to upload.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Upload every run that is not complete in its store.")
    ] = False,
    keep: Annotated[
        float, typer.Option("--keep", metavar="DAYS", min=0, help="Days for which uploaded runs stay here.")
    ] = 30,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", "--uri", metavar="URI", help="Another store than the run was meant for."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Upload what did not reach the store while a training ran.

    Local folders of runs that have been complete in their store for 30 days are removed.
    """
    from .sync import sync as do

    return do(runs or [], everything, tracking_uri, keep, as_json)


@app.command()
def report(
    a: Annotated[str, typer.Argument(metavar="RUN_ID", help="ID of the run to draw.")],
    b: Annotated[
        str | None, typer.Argument(metavar="RUN_ID", help="Another run, to be drawn beside the first.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where the page goes; else report-<id>.html."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Also store the page with the run in MLflow, in the place of the one there.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> int:
    """Draw the page of a run from what is stored of it, or two runs side by side.

    Works for runs logged by plain MLflow code too, with what they have.
    """
    from .report import report as do

    return do(a, b, out, write, show, tracking_uri, as_json)


@app.command()
def ui(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1.")] = 5000,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> int:
    """Open MLflow's own UI on the store, with the verdict columns in view."""
    from .ui import ui as do

    return do(port, tracking_uri, as_json)


@rules_app.callback(invoke_without_command=True)
def _rules(context: typer.Context, settings: Settings = None, as_json: Json = False) -> int:
    if context.invoked_subcommand is None:
        from .rules import list_rules

        return list_rules(settings, as_json)
    return ExitCode.FINE


@rules_app.command("list")
def rules_list(settings: Settings = None, as_json: Json = False) -> int:
    """All rules: on or off and why, severity, and one line each."""
    from .rules import list_rules

    return list_rules(settings, as_json)


@rules_app.command("explain")
def rules_explain(
    rule: Annotated[str, typer.Argument(metavar="ID")], settings: Settings = None, as_json: Json = False
) -> int:
    """What a rule looks for, why it matters, what to try, when it is wrong, and its knobs."""
    from .rules import explain_rule

    return explain_rule(rule, settings, as_json)


@rules_app.command("why")
def rules_why(
    rule: Annotated[str, typer.Argument(metavar="ID")], settings: Settings = None, as_json: Json = False
) -> int:
    """Why a rule is on or off."""
    from .rules import why_rule

    return why_rule(rule, settings, as_json)


@rules_app.command("schema")
def rules_schema(settings: Settings = None, as_json: Json = False) -> int:
    """The JSON schema of the settings, with the knobs of every rule."""
    from .rules import print_schema

    return print_schema(settings)
