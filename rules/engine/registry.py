"""Which rules there are: the built-in ones, those of installed plug-ins, and those of the project.

All come in by the same walk: a module or package is imported, and every `Rule` subclass defined in it is a rule. There
is no list to edit. What fails to import is kept in `Registry.failures` and becomes a crashed outcome in the run.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import DuplicateRule
from .finding import Severity, Status
from .outcome import Outcome
from .plugins import RULES, entry_points, public_name
from .rule import Rule
from .signals import SIGNALS

if TYPE_CHECKING:
    from .settings import Settings

_RULES = __name__.rsplit(".", 2)[0]  # `tracker.rules`, or the private name the package was loaded under


class Registry:
    """The rules that exist, by id; `failures` are what could not be imported."""

    def __init__(self, rules: Mapping[str, type[Rule]] | None = None, failures: Sequence[Outcome] = ()) -> None:
        self.rules: dict[str, type[Rule]] = dict(rules or {})
        self.failures: list[Outcome] = list(failures)

    @classmethod
    def discover(cls, local: Sequence[str] = (), project_dir: Path | None = None) -> Registry:
        """Finds built-in rules, those of plug-ins (unless switched off) and the project's own.

        `local` names modules importable from `project_dir`, or `.py` files in it. Raises `DuplicateRule`.
        """
        registry = builtin_rules()
        for point in entry_points(RULES):
            registry.walk(f"{point.name} ({point.value})", point.load)
        for name in local:
            registry.walk(name, partial(_import_local, name, project_dir or Path.cwd()))
        return registry

    def walk(self, name: str, load: Callable[[], object]) -> None:
        """Adds every rule in the module or package that `load()` returns; a failure is kept under `name`.

        Raises `DuplicateRule`.
        """
        try:
            with nullcontext() if name.startswith(_RULES + ".") else public_name():
                module = load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may call sys.exit() when it is imported
            self._add_failure(name, f"could not be imported: {type(error).__name__}: {error}")
            return
        if not isinstance(module, ModuleType):
            self._add_failure(name, f"is a {type(module).__name__}; expected a module or package with rules in it")
            return
        self._add_module(module)
        for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
            part = f"{module.__name__}.{found.name}"
            self.walk(part, partial(importlib.import_module, part))

    def add(self, rule: type[Rule]) -> None:
        """Adds one rule; raises `DuplicateRule` when its id is taken by another class."""
        other = self.rules.setdefault(rule.id(), rule)
        if other is not rule:
            raise DuplicateRule(rule.id(), (other.__module__, rule.__module__))
        for signal in rule.needs:  # a plug-in's own joins the vocabulary: ranks are merged by it
            SIGNALS.setdefault(signal.name, signal)

    def families(self) -> list[str]:
        """The families there are, sorted."""
        return sorted({rule.family() for rule in self.rules.values()})

    def names(self) -> set[str]:
        """Everything a selection may name: rule ids, families and `ALL`."""
        return {*self.rules, *self.families(), "ALL"}

    def knows(self, name: str) -> bool:
        """Whether a selection may name this: a pattern has to fit some rule."""
        return bool(fnmatch.filter(self.rules, name)) if "*" in name else name in self.names()

    def explain_off(self, rule: str, settings: Settings) -> str | None:
        """Why a rule is off under these settings, in words for a user; None when it is on. Raises `KeyError`."""
        cls = self.rules[rule]
        return settings.explain_off(rule, cls.family(), cls.status)

    def instances(self, settings: Settings) -> list[Rule]:
        """One object for each rule, on or off, with the knobs the settings give it, sorted by family and id."""
        ordered = sorted(self.rules.items(), key=lambda item: (item[1].family(), item[0]))
        return [cls(**settings.rule.get(name, {})) for name, cls in ordered]

    def _add_module(self, module: ModuleType) -> None:
        for value in list(vars(module).values()):
            if (
                inspect.isclass(value)
                and issubclass(value, Rule)
                and value.__module__ == module.__name__
                and not inspect.isabstract(value)
            ):
                self.add(value)

    def _add_failure(self, name: str, reason: str) -> None:
        outcome = Outcome(rule=name, family="", status=Status.CRASHED, severity=Severity.WARNING, reason=reason)
        self.failures.append(outcome)


def builtin_rules() -> Registry:
    """Only the rules that come with the package."""
    registry = Registry()
    for name in _family_packages():
        registry.walk(name, partial(importlib.import_module, name))
    return registry


def _family_packages() -> Iterator[str]:
    rules = sys.modules[_RULES]
    for found in pkgutil.iter_modules(rules.__path__):
        if found.ispkg and found.name != "engine":
            yield f"{_RULES}.{found.name}"


def _import_local(name: str, project_dir: Path) -> ModuleType:
    if name.endswith(".py"):
        path = (project_dir / name).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        # The parts of the name: unique for the path, then the family, then what the file is called.
        unique = f"_local_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}.local.{path.stem}"
        return _import_file(unique, path)
    sys.path.insert(0, str(project_dir))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(project_dir))


def _import_file(name: str, path: Path) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
