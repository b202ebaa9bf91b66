"""Checks settings, and says in one sentence what is wrong with them: table and key, value seen, what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import LIST_COMMAND, ConfigError, UnknownRule, nearest
from .registry import Registry
from .rule import Rule

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from .settings import Settings

Model = TypeVar("Model", bound=BaseModel)


def checked_table(model: type[Model], table: Mapping[str, Any], path: Path | None) -> Model:
    """The table as settings; raises `ConfigError` for the first thing wrong with it."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise _config_error(error.errors()[0], "tool.tracker", model, path) from None


def checked_names(settings: Settings, registry: Registry, path: Path | None) -> None:
    """Raises `UnknownRule` for the first rule or family in the settings that does not exist."""
    # What failed to import may be what a name means: the run reports the failure, the name is then let through.
    known = registry.names()
    for where, name in _names(settings):
        if not registry.knows(name) and not registry.failures:
            raise UnknownRule(name, where, known, path=path)
    for name in settings.rule:
        if name not in registry.rules and not registry.failures:
            raise UnknownRule(name, f"[tool.tracker.rule.{name}]", registry.rules, path=path)


def checked_knobs(rule: type[Rule], given: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """The knobs a user gave to a rule, in their final types; raises `ConfigError`."""
    try:
        model = rule.model_validate(dict(given))
    except ValidationError as error:
        raise _config_error(error.errors()[0], f"tool.tracker.rule.{rule.id()}", rule, path) from None
    return {name: value for name, value in model.model_dump(mode="json").items() if name in given}


def _names(settings: Settings) -> Iterator[tuple[str, str]]:
    rules = settings.rules
    for key in ("select", "ignore", "stop", "checkpoint", "notify"):
        for name in getattr(rules, key):
            yield f"[tool.tracker.rules] {key}", name
    # The built-in one may name rules that this build does not have, also where it comes back from a stored run.
    if rules.minimum != type(rules).model_fields["minimum"].default:
        for entry in rules.minimum:
            for name in (entry,) if isinstance(entry, str) else entry:
                yield "[tool.tracker.rules] minimum", name
    for suppression in settings.suppress:
        yield "[[tool.tracker.suppress]] rule", suppression.rule


def _config_error(detail: ErrorDetails, root: str, model: type[BaseModel], path: Path | None) -> ConfigError:
    *tables, key = _place(model, detail["loc"]) or [""]
    table = ".".join([root, *tables])
    where = f"[{table}] {key}".strip()
    file = f" of {path}" if path else ""
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        known = _keys(model, tables)
        hint = nearest(key, known)
        guess = f" Did you mean '{hint}'?" if hint else f" It knows {', '.join(sorted(known)) or 'no keys'}."
        see = f" {LIST_COMMAND}" if issubclass(model, Rule) else ""
        return ConfigError(f"Unknown key '{key}' in [{table}]{file}.{guess}{see}", where=where, value=value, path=path)
    if detail["type"] == "missing":
        message = f"'{key}' is missing in [{table}]{file}; every such table needs one. Add it."
        return ConfigError(message, where=where, path=path)
    expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
    expected = expected.replace("a valid tuple", "a list")
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        expected = "a table"
    message = f"{where}{file} is {_shown(value)}; expected {_lower_first(expected)}. Correct the value."
    return ConfigError(message, where=where, value=value, path=path)


def _place(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Tables and key that an error is about, without list positions and pydantic's names for members of a union."""
    place: list[str] = []
    table: type[BaseModel] | None = model
    for part in location:
        if not isinstance(part, str):
            continue
        if table is not None:
            place.append(part)
            table = _inner(table, part)
        elif place == ["rule"]:  # the only table whose keys are names of the user's
            place.append(part)
    return place


def _inner(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of the table under a key, also where it is a list of tables; None for a plain value."""
    if key not in model.model_fields:
        return None
    annotation = model.model_fields[key].annotation
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _keys(model: type[BaseModel], tables: list[str]) -> list[str]:
    """The keys of the table that `tables` leads to."""
    for name in tables:
        model = _inner(model, name) or model
    return list(model.model_fields)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
