"""What a `Run` may be given, checked by pydantic before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator


class RunOptions(BaseModel):
    """What a run may be given; checked before anything starts."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str | None = Field(None, max_length=10_000)
    """Name of the run; the script's name without one."""
    experiment: str | None = Field(None, min_length=1, max_length=500)
    """MLflow experiment; from the settings or `MLFLOW_EXPERIMENT_NAME` without one."""
    params: Mapping[str, Any] = {}
    """Hyperparameters, logged under their bare names."""
    class_weights: Any = None
    """Weights of the classes: a sequence, an array, a tensor, or a mapping from class name to weight."""
    tags: Mapping[str, str] = {}
    """Tags of the MLflow run."""
    profile: str | None = None
    """Task profile (`supervised`, `gan`, ...), when it should not be inferred."""
    settings: Any = None
    """A settings file, a folder with a `pyproject.toml`, or a mapping in the form of `[tool.tracker]`."""
    tracking_uri: str | None = None
    """MLflow tracking URI; `MLFLOW_TRACKING_URI`, or MLflow's own default, without one."""
    quiet: bool = False
    """Say nothing on stderr."""
    data: Mapping[str, tuple[str, ...]] = {}
    """Files, folders, patterns or addresses of data that no hook sees: one, several, or a mapping from a name. They
    are identified with the run, and stand for everything that was read unseen."""

    @field_validator("data", mode="before")
    @classmethod
    def _data_is_paths(cls, value: Any) -> Any:
        from .capture.declared import as_declared

        return as_declared(value)

    @field_validator("params", mode="before")
    @classmethod
    def _keys_are_text(cls, value: Any) -> Any:
        return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value

    @field_validator("tags", mode="before")
    @classmethod
    def _tags_are_text(cls, value: Any) -> Any:
        return {str(key): str(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def checked(given: Mapping[str, Any]) -> RunOptions:
    """The options, or a `ConfigError` that says what is wrong, what was seen, and what was expected."""
    try:
        return RunOptions(**given)
    except ValidationError as error:
        import difflib

        from .errors import ConfigError

        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "Run"
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, RunOptions.model_fields, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known are: {', '.join(RunOptions.model_fields)}."
            raise ConfigError(f"Run has no argument {name!r}.{hint} Hyperparameters go into params={{...}}.") from None
        seen = repr(first.get("input"))
        seen = seen if len(seen) <= 80 else seen[:77] + "..."
        raise ConfigError(f"Run argument {name!r} is {seen}: {first['msg']}.") from None
