"""What the user wants judged, and how: the `[tool.tracker]` table of a project.

::

    [tool.tracker]
    experiment = "cifar"

    [tool.tracker.rules]
    select = ["ALL"]                 # rule ids, families, patterns such as "learning-rate-*", or ALL
    ignore = ["reproducibility"]
    patience = 2

    [tool.tracker.rule.update-ratio] # the knobs of one rule
    max_ratio = 0.2

    [[tool.tracker.suppress]]
    rule = "vanishing-gradient"
    subject = "encoder.*"
    reason = "frozen on purpose until epoch 5"
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, PrivateAttr

from .errors import ConfigError, nearest
from .knobs import described
from .outcome import Outcome
from .registry import Registry
from .settings_errors import checked_knobs, checked_names, checked_table
from .settings_file import read_table

MINIMUM: tuple[str | tuple[str, ...], ...] = (
    "nonfinite-loss",
    ("loss-not-decreasing", "no-better-than-baseline", "loss-diverging"),
)
"""What has to come out clear before a run may be called unsuspicious; of several names in one place, one is enough."""

Profile = Literal[
    "supervised",
    "regression",
    "language-model",
    "fine-tune",
    "gan",
    "rl",
    "contrastive",
    "autoencoder",
    "diffusion",
    "unknown",
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RulesTable(_Table):
    """`[tool.tracker.rules]`: which rules are asked, and what follows when they find something."""

    select: tuple[str, ...] = ("ALL",)
    """Rules to ask: ids, families, patterns (`learning-rate-*`), or ALL. The id of a preview rule switches it on."""
    ignore: tuple[str, ...] = ()
    """Rules not to ask; wins over `select`, except that an id in `select` wins over a family here."""
    preview: bool = False
    """Also ask the rules that are still being tried."""
    stop: tuple[str, ...] = ()
    """Rules whose findings ask the training to stop; under `tracker run` they end the script."""
    checkpoint: tuple[str, ...] = ()
    """Rules whose first finding has models, optimizers and generators saved at once, at most three times a run."""
    notify: tuple[str, ...] = ()
    """Rules whose findings are sent as notifications; INFO never is."""
    notify_from: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ("TRACKER_NOTIFY",)
    """Names of environment variables with apprise addresses, as those hold secrets."""
    fail_on: Literal["info", "warning", "error", "fatal", "never"] = "warning"
    """Least severity of a finding with which `tracker check` exits with 1; `tracker run --fail-on` is apart from it."""
    patience: PositiveInt = 1
    """Judgements in a row that must find a fault before it is reported. Fatal ones are reported at once."""
    local: tuple[str, ...] = ()
    """The project's own rules: modules importable from the project's directory, or `.py` files in it."""
    minimum: tuple[str | tuple[str, ...], ...] = MINIMUM
    """Rules that must come out clear before `suspicious` may be false; of a nested list, one is enough."""


class Suppression(_Table):
    """`[[tool.tracker.suppress]]`: findings that are known and accepted."""

    rule: str
    """Rule id, family, pattern, or ALL."""
    subject: str = "*"
    """Glob over the subject (layer, parameter, class, metric key); a module's name stands for all inside it too."""
    reason: str = Field(min_length=1)
    """Why; stored in the run."""


class CaptureTable(_Table):
    """`[tool.tracker.capture]`: what is stored so that a run can be redone."""

    code: bool = True
    """Store the state of the code."""
    data: bool = True
    """Store which files were read, and their digests."""
    resolve: bool = True
    """Ask the configured package indexes, without installing anything, whether they have every package of the run."""
    max_file_mb: NonNegativeFloat = 10
    """Largest file of uncommitted code that is stored, in megabytes."""
    max_total_mb: NonNegativeFloat = 50
    """Largest amount of code that is stored, in megabytes."""
    allow_env: tuple[str, ...] = ()
    """Environment variables to store beyond those known to matter."""
    redact: tuple[str, ...] = ()
    """Names of values that are never stored, beyond those that look like secrets."""


class ReportTable(_Table):
    """`[tool.tracker.report]`: what is kept and drawn so that a run can be looked at."""

    write: bool = True
    """Store `report.html` with the run, and renew it while the run goes on."""
    samples: int = Field(16, ge=0, le=64)
    """Held-out samples that are kept with what the model says of them, and as many of its worst mistakes at most; 0
    keeps none: neither inputs nor predictions leave the process."""
    histograms: bool = True
    """Keep histograms of weights, gradients and outputs, and the filters of a first convolution."""
    saliency: int = Field(0, ge=0, le=16)
    """Kept samples for which captum says at the end of the run which parts of the input mattered. It runs the model
    once more on them, outside the training's graph and with its random numbers put back."""


class Settings(_Table):
    """The whole `[tool.tracker]` table; `Settings.load` reads and checks it against the rules there are."""

    experiment: str | None = Field(None, min_length=1)
    """Name of the experiment in MLflow."""
    tracking_uri: str | None = None
    """Where MLflow is; the local database without it."""
    profile: Profile | None = None
    """Task profile; inferred without it."""
    observe: Literal["light", "standard", "full"] = "standard"
    """How much is measured, by cost."""
    near_leakage: bool = False
    """Also look for held-out samples that are nearly, not exactly, samples of the training (rule `near-leakage`)."""
    wait_seconds: NonNegativeFloat = 30
    """Longest wait, in seconds, for the store at the end of a run."""
    capture: CaptureTable = CaptureTable()
    """What is stored so that a run can be redone."""
    report: ReportTable = ReportTable()
    """What is kept and drawn so that a run can be looked at."""
    rules: RulesTable = RulesTable()
    """Which rules are asked, and what follows when they find something."""
    suppress: tuple[Suppression, ...] = ()
    """Findings that are known and accepted."""
    rule: Mapping[str, Mapping[str, Any]] = {}
    """Knobs of single rules, by rule id."""

    _registry: Registry | None = PrivateAttr(default=None)
    _path: Path | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, source: Path | str | Mapping[str, Any] | None = None, folder: Path | None = None) -> Settings:
        """Reads the settings of a directory (its `pyproject.toml`, or the nearest one above with a `[tool.tracker]`
        table), of a TOML file, or of a mapping; without a source, the defaults.

        Imports the rules, the local ones too: from the folder of the file, or from `folder`. Raises `ConfigError` for
        what cannot be used and `DuplicateRule` when two rules have one id.
        """
        table, path = read_table(source)
        settings = checked_table(cls, table, path)
        registry = Registry.discover(settings.rules.local, path.parent if path else folder)
        checked_names(settings, registry, path)
        knobs = {
            name: checked_knobs(registry.rules[name], given, path) if name in registry.rules else given
            for name, given in settings.rule.items()
        }
        settings = settings.model_copy(update={"rule": knobs})
        settings._registry, settings._path = registry, path
        return settings

    def __eq__(self, other: object) -> bool:
        """Equal when everything in the table is: where it was read, and what has been looked up since, do not count."""
        if not isinstance(other, Settings):
            return NotImplemented
        return self.model_dump() == other.model_dump()

    @property
    def path(self) -> Path | None:
        """The file the settings were read from."""
        return self._path

    @property
    def registry(self) -> Registry:
        """The rules these settings are about; found at the first use."""
        if self._registry is None:
            self._registry = Registry.discover(self.rules.local, self._path.parent if self._path else None)
        return self._registry

    def with_profile(self, profile: str) -> Settings:
        """The same settings for a task profile; raises `ConfigError` for one that does not exist."""
        if profile not in get_args(Profile):
            hint = nearest(profile, get_args(Profile))
            raise ConfigError(
                f"The task profile is {profile!r}; expected one of {', '.join(get_args(Profile))}."
                + (f" Did you mean '{hint}'?" if hint else ""),
                where="profile",
                value=profile,
            )
        return self.model_copy(update={"profile": profile})

    def explain_off(self, rule: str, family: str, status: str = "stable") -> str | None:
        """Why a rule is off, in words for a user; None when it is on."""
        table = self.rules
        if not matches(table.select, rule, family):
            return "not in 'select'"
        if rule in table.ignore:
            return "in 'ignore'"
        if matches(table.ignore, rule, family) and rule not in table.select:
            return f"its family '{family}' is in 'ignore'" if family in table.ignore else "'ignore' has ALL"
        if status != "stable" and not table.preview and rule not in table.select:
            return f"in {status}: switch it on with 'preview = true' or by naming it in 'select'"
        return None

    def suppression(self, rule: str, family: str, subject: str) -> str | None:
        """The reason for which a finding is suppressed, or None."""
        for entry in self.suppress:
            inside = fnmatchcase(subject, entry.subject) or fnmatchcase(subject, entry.subject + ".*")
            if inside and matches((entry.rule,), rule, family):
                return entry.reason
        return None

    def stops(self, outcome: Outcome) -> bool:
        """Whether this outcome asks the training to stop."""
        return bool(outcome.findings) and matches(self.rules.stop, outcome.rule, outcome.family)

    def checkpoints(self, outcome: Outcome) -> bool:
        """Whether a checkpoint is to be saved for this outcome."""
        return bool(outcome.findings) and matches(self.rules.checkpoint, outcome.rule, outcome.family)

    def notifies(self, outcome: Outcome) -> bool:
        """Whether this outcome is to be sent as a notification."""
        return bool(outcome.findings and outcome.severity) and matches(self.rules.notify, outcome.rule, outcome.family)

    def digest(self) -> str:
        """First 16 hex digits of a SHA-256 over everything that can change a verdict."""
        judging = self.model_dump(mode="json", include={"profile", "rules", "suppress", "rule"})
        for without_effect in ("stop", "checkpoint", "notify", "notify_from", "fail_on"):
            del judging["rules"][without_effect]
        text = json.dumps(judging, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def json_schema(self) -> dict[str, Any]:
        """A JSON schema of the table, with the knobs of every rule."""
        for table in (RulesTable, Suppression, CaptureTable):
            described(table)
        schema = described(Settings).model_json_schema()
        rules = sorted(self.registry.rules.items())
        schema["properties"]["rule"] = {
            "type": "object",
            "additionalProperties": False,
            "description": "Knobs of single rules, by rule id.",
            "properties": {name: described(rule).model_json_schema() for name, rule in rules},
        }
        return schema


def matches(selectors: Iterable[str], rule: str, family: str) -> bool:
    """Whether a rule is meant by any of the selectors: its id, its family, a pattern of ids, or ALL."""
    return any(
        selector in ("ALL", rule, family) or ("*" in selector and fnmatchcase(rule, selector)) for selector in selectors
    )
