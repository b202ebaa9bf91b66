"""The law of imports: what may depend on what. It is read from the source, so that no path through it is missed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BESIDE_THE_STDLIB = {"pydantic", "numpy", "tomli"}
"""All that rules may import; tomli is the stdlib's tomllib for Python 3.10."""

HEAVY = (
    "mlflow",
    "torch",
    "numpy",
    "git",
    "pyarrow",
    "pandas",
    "typer",
    "rich",
    "pydantic",
    "matplotlib",
    "jinja2",
    "PIL",
)
"""What `import tracker` must not load: a training that uses none of it would pay for it."""


@dataclass(frozen=True)
class Imported:
    """One imported module: where, what (dots first when relative), and whether it happens on loading the file."""

    file: Path
    line: int
    module: str
    on_load: bool

    def __str__(self) -> str:
        return f"{self.file.as_posix()}:{self.line} imports {self.module}"

    @property
    def top(self) -> str:
        """The first part of an absolute name; empty for a relative one."""
        return self.module.partition(".")[0]


def imports_of(source: str, file: Path) -> Iterator[Imported]:
    """All imports in a file except those under `if TYPE_CHECKING:`; `import_module("x")` with a literal counts."""

    def visit(node: ast.AST, on_load: bool) -> Iterator[Imported]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from visit(child, on_load)
            return
        if isinstance(node, ast.Import):
            yield from (Imported(file, node.lineno, alias.name, on_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            if node.module:
                yield Imported(file, node.lineno, dots + node.module, on_load)
            else:
                yield from (Imported(file, node.lineno, dots + alias.name, on_load) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield Imported(file, node.lineno, first.value, on_load)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, on_load and not inside)

    return visit(ast.parse(source), True)


def all_imports(folder: str) -> list[Imported]:
    """Of every file below a folder of the repository; `tracker/rules` is a link to `rules` and is not entered twice."""
    files = [path for path in sorted((ROOT / folder).rglob("*.py")) if "rules" not in path.parts[len(ROOT.parts) + 1 :]]
    assert len(files) > 10, f"{folder}/ was not found where it is expected"
    return [one for file in files for one in imports_of(file.read_text(encoding="utf-8"), file.relative_to(ROOT))]


def in_package(one: Imported) -> str:
    """The path of a relative import inside the repository, as `rules/engine/trace`; empty for an absolute one."""
    dots = len(one.module) - len(one.module.lstrip("."))
    if not dots:
        return ""
    folder = one.file.parent
    for _ in range(dots - 1):
        folder = folder.parent
    return (folder / one.module.lstrip(".").replace(".", "/")).as_posix()


def listed(found: list[Imported]) -> str:
    return "\n".join(map(str, found))


@pytest.mark.parametrize("folder", ["tracker", "rules"])
def test_we_import_ourselves_by_relative_names_only(folder: str) -> None:
    # The package is also loaded under a private name, where `import tracker` would be the user's own module.
    found = [one for one in all_imports(folder) if one.top in ("tracker", "rules", "tests")]

    assert not found, listed(found)


def test_rules_import_the_stdlib_and_pydantic_only() -> None:
    allowed = BESIDE_THE_STDLIB | set(sys.stdlib_module_names)
    found = [one for one in all_imports("rules") if one.top and one.top not in allowed]

    assert not found, listed(found)


def test_rules_never_reach_out_of_their_folder() -> None:
    found = [one for one in all_imports("rules") if in_package(one) and not in_package(one).startswith("rules")]

    assert not found, listed(found)


def test_a_rule_family_never_imports_another() -> None:
    families = {path.name for path in (ROOT / "rules").iterdir() if path.is_dir()} - {"engine", "__pycache__"}
    found = [
        one
        for one in all_imports("rules")
        if len(one.file.parts) > 2
        and one.file.parts[1] in families
        and len(target := in_package(one).split("/")) > 1
        and target[1] in families - {one.file.parts[1]}
    ]

    assert not found, listed(found)


def test_the_engine_knows_no_rule() -> None:
    found = [one for one in all_imports("rules") if one.file.parts[1] == "engine" and in_package(one)]
    found = [one for one in found if not in_package(one).startswith("rules/engine")]

    assert not found, listed(found)


def test_mlflow_is_imported_in_the_stores_only() -> None:
    found = [one for one in all_imports("tracker") if one.top == "mlflow" and one.file.parts[1] != "stores"]
    # It looks at the mlflow that the user's own code has loaded, and loads none.
    found = [one for one in found if one.file.as_posix() != "tracker/integrations/mlflow_calls.py" or one.on_load]

    assert not found, listed(found)


def test_torch_is_loaded_by_what_measures_only() -> None:
    measuring = ("tracker/probes/", "tracker/drilling/", "tracker/drills/", "tracker/compare/models/")
    found = [one for one in all_imports("tracker") if one.top == "torch" and one.on_load]
    found = [one for one in found if not one.file.as_posix().startswith(measuring)]

    assert not found, listed(found)


def test_what_draws_is_loaded_in_the_report_only_and_when_something_is_drawn() -> None:
    drawing = ("matplotlib", "jinja2", "markupsafe", "PIL")
    found = [one for one in all_imports("tracker") if one.top in drawing]
    found = [one for one in found if one.file.parts[1] != "report" or one.on_load]

    assert not found, listed(found)


def test_importing_the_tracker_loads_nothing_heavy() -> None:
    code = f"import tracker, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b, c", ["a.b", "c"]),
        ("from ..x import y", ["..x"]),
        ("from . import y", [".y"]),
        ("def f():\n    import late", ["late (late)"]),
        ("import importlib\nimportlib.import_module('z')", ["importlib", "z"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mlflow", ["typing"]),
        ("class A:\n    import b", ["b"]),
        ("try:\n    import a\nexcept ImportError:\n    import b", ["a", "b"]),
    ],
)
def test_the_reader_sees_every_way_to_import(source: str, expected: list[str]) -> None:
    found = [one.module + ("" if one.on_load else " (late)") for one in imports_of(source, Path("x.py"))]

    assert found == expected
