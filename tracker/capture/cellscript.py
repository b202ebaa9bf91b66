"""Code that came from no file, stored as a script that a re-run executes: the cells in the order they were executed.

Works on text alone, in the sidecar, when the run has ended. What a script cannot do as the notebook did it is left out
or stays in doubt, and is named as a gap.
"""

from __future__ import annotations

import ast
import os
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from .captured import Captured, Gap
from .cells import COMMAND, ENTRY, NOTEBOOK, ORIGIN, STDIN
from .inputs import ARCHIVE
from .magics import Magics, Note, parsed, places
from .plainfiles import REGULAR, read_archive
from .secrets import redact
from .standins import DISPLAY, GET_IPYTHON, STAND_INS
from .withheld import new_secrets

if TYPE_CHECKING:
    from ..rules.engine.records import Json

PART = "command"

_MOST_GAPS = 12
_ORIGINS = {NOTEBOOK: "a notebook", COMMAND: "'python -c'", STDIN: "standard input"}

_OUTPUTS = frozenset(["_", "__", "___", "_i", "_ii", "_iii", "_ih", "_oh", "_dh", "In", "Out"])
"""Names that IPython gives to what cells showed, and to their text."""


@dataclass
class Script:
    """The text of a script, and what it does not do as the cells did."""

    text: str
    notes: list[Note] = field(default_factory=list)


def keep_script(into: Path, typed: Mapping[str, Any], own_id: str, root: Path | None, cwd: Path) -> Captured:
    """Stores what was typed as a script: to look at, and in `inputs.zip`, from where it comes into a restored project.

    `typed` is what `cells.typed` found, `cwd` the folder of the run when it began. The facts are `entry`, the path of
    the script in the project, and `entry_from`; there are none where the script cannot be stored. Raises `OSError`
    where `into` cannot be written.
    """
    origin = str(typed.get("from"))
    kind = origin if origin in _ORIGINS else NOTEBOOK
    cells = [cell for cell in typed.get("cells") or () if isinstance(cell, Mapping)]
    if root is None or not cells or not _real(cwd).is_relative_to(_real(root)):
        what = f"the code came from {_ORIGINS[kind]}, and the folder of the project is not known"
        return Captured(gaps=[Gap(PART, what, "run it as a script", blocking=True)])
    began, here, top = _real(Path(str(typed.get("folder") or cwd))), _real(cwd), _real(root)
    is_inside = began.is_relative_to(top)
    start = began if is_inside else here
    script = as_script(cells, kind, root=top, start=start, is_inside=is_inside, moved=start != here)
    content = script.text.encode("utf-8", "surrogatepass")
    name = f"{kind}_{own_id[:8]}.py"
    secrets = new_secrets(content)
    if secrets:
        return Captured(gaps=[_secret(kind, into, script.text, secrets)])
    relative = (start / name).relative_to(top).as_posix()
    shown = into / f"{kind}.py"
    shown.write_bytes(content)
    _add(into / ARCHIVE, relative, content)
    facts: dict[str, Json] = {ENTRY: relative, ORIGIN: kind}
    return Captured(facts, _gaps(script.notes, kind), [shown, into / ARCHIVE])


def as_script(
    cells: Sequence[Mapping[str, Any]],
    kind: str = NOTEBOOK,
    *,
    root: PurePath | None = None,
    start: PurePath | None = None,
    is_inside: bool = True,
    moved: bool = False,
) -> Script:
    """The cells as one script, in the folder `start` of the project `root`, where the notebook began if `is_inside`.

    `moved`: it had changed its folder when the run began.
    """
    if kind != NOTEBOOK:
        return Script("".join(str(cell.get("source")) for cell in cells))
    magics = Magics(root, start, is_inside)
    futures: list[str] = []
    parts: list[str] = []
    trees: list[ast.Module] = []
    for place, cell in enumerate(cells):
        number, source = int(cell.get("number") or 0), str(cell.get("source") or "")
        is_last = place == len(cells) - 1
        error = "" if is_last else cell.get("error")
        text, tree = _one(magics, number, source, error, futures)
        if tree is not None:
            trees.append(tree)
        parts.append(f"# %% [{number}]\n{text.rstrip()}\n")
    loaded, stored = _names(trees)
    unknown = sorted(name for name in loaded - stored if name in _OUTPUTS or _is_numbered(name))
    if unknown:
        magics.notes.append(Note(f"{', '.join(unknown[:3])} is what a cell showed, which a script does not keep", True))
    head = ["# The cells of a notebook, in the order in which they were executed.\n", *dict.fromkeys(futures)]
    head += [_start(magics, moved, any("matplotlib" in part for part in parts))]
    head += [DISPLAY] if "display" in loaded - stored else []
    head += [GET_IPYTHON] if "get_ipython" in loaded - stored else []
    return Script("".join([*head, "\n", "\n".join(parts)]), magics.notes)


def _start(magics: Magics, moved: bool, shows_figures: bool) -> str:
    """What stands before the first cell, so that it finds what it found in the notebook."""
    needed = dict.fromkeys(["_os"] if moved or shows_figures or magics.needs else [])
    needed |= dict.fromkeys(name for name in STAND_INS if name in magics.needs)
    lines = [STAND_INS[name] for name in needed]
    if shows_figures:
        # A window would wait for somebody to close it.
        lines.append('\n_os.environ["MPLBACKEND"] = "Agg"\n')
    if moved:
        lines.append("import sys as _sys\n\n_os.chdir(_os.path.dirname(_os.path.abspath(__file__)))\n")
        lines.append('_sys.path.insert(0, "")  # imports follow the notebook into other folders\n')
    return "".join(lines)


def _one(magics: Magics, number: int, source: str, error: Any, futures: list[str]) -> tuple[str, ast.Module | None]:
    """The text of one cell, and its syntax tree; None where nothing of it is executed."""
    try:
        text = magics.plain(source, number)
        text = _without_futures(text, parsed(text), futures)
        tree = parsed(text)
    except SyntaxError as problem:
        if error not in ("SyntaxError", "IndentationError", "TabError"):  # that one was never executed
            magics.notes.append(Note(f"cell [{number}] is not Python: {problem.msg}; it is not repeated", True))
        return _commented(source, "no Python: not executed"), None
    problem_of_script = _refused(text)
    if problem_of_script:
        magics.notes.append(Note(f"cell [{number}] cannot be part of a script: {problem_of_script}", True))
        return _commented(source, f"cannot be part of a script: {problem_of_script}"), None
    if error == "":
        return text, tree
    if error in ("KeyboardInterrupt", "SystemExit"):
        what = f"cell [{number}] was ended by {error}: a re-run executes it to its end"
        magics.notes.append(Note(what, error == "KeyboardInterrupt"))
    elif error is not None:
        magics.notes.append(Note(f"cell [{number}] failed with {error}: it is repeated as far as it goes"))
    return _guarded(text, tree, error), tree


def _refused(text: str) -> str:
    """Why Python does not take the text at the top of a script; empty where it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<cell>", "exec", dont_inherit=True)
    except SyntaxError as problem:
        return str(problem.msg)
    return ""


def _commented(source: str, why: str) -> str:
    return "\n".join([f"# ({why})", *(f"# {line}".rstrip() for line in source.splitlines())])


def _without_futures(text: str, tree: ast.Module, futures: list[str]) -> str:
    """The text without its `from __future__` imports, which hold for all later cells: a script has them at its top."""
    raw, place = text.encode("utf-8"), places(text)
    for node in reversed(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level:
            futures.append(f"from __future__ import {', '.join(name.name for name in node.names)}\n")
            start, end = place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)
            raw = raw[:start] + b"pass" + raw[end:]
    return raw.decode("utf-8")


def _guarded(text: str, tree: ast.Module, error: Any) -> str:
    """The cell as one that may fail, as it did in the notebook: what it did before that is part of what came later."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and (node.end_lineno or 0) > node.lineno:
            inside.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))  # lines of a string stay as they are
    lines = [
        line if number in inside or not line.strip() else f"    {line}"
        for number, line in enumerate(text.splitlines(), 1)
    ]
    how = f"it ended with {error} in the notebook" if error else "it may have failed in the notebook"
    caught = "SystemExit" if error == "SystemExit" else "Exception"
    return "\n".join(
        [f"try:  # {how}", *lines, "    pass", f"except {caught}:", '    __import__("traceback").print_exc()']
    )


def _names(trees: Iterable[ast.Module]) -> tuple[set[str], set[str]]:
    """Names that the cells read, and names that they give something to."""
    loaded: set[str] = set()
    stored: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else stored).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stored.add(node.name)
        elif isinstance(node, ast.arg):
            stored.add(node.arg)
        elif isinstance(node, ast.alias):
            stored.add(node.asname or node.name.partition(".")[0])
    return loaded, stored


def _is_numbered(name: str) -> bool:
    """True for `_3` and `_i3`: what cell 3 showed, and its text."""
    return name.startswith("_") and name[1:].removeprefix("i").isdecimal()


def _secret(kind: str, into: Path, text: str, kinds: Sequence[str]) -> Gap:
    (into / "redacted").mkdir(exist_ok=True)
    (into / "redacted" / f"{kind}.txt").write_text(redact(text), encoding="utf-8", errors="replace")
    return Gap(
        PART,
        f"the code that came from {_ORIGINS[kind]} shows a secret ({', '.join(kinds)}): its script was not stored",
        "read secrets from the environment, and run it again",
        blocking=True,
    )


def _gaps(notes: Sequence[Note], kind: str) -> list[Gap]:
    found = sorted(dict.fromkeys(notes), key=lambda note: not note.blocking)
    gaps = [
        Gap(PART, note.what, f"put it outside of {_ORIGINS[kind]}, or into Python", note.blocking)
        for note in found[:_MOST_GAPS]
    ]
    if len(found) > _MOST_GAPS:
        more = f"{len(found) - _MOST_GAPS} more commands of the notebook are not repeated as they were"
        gaps.append(Gap(PART, more, f"compare {kind}.py with the notebook", blocking=False))
    return gaps


def _add(archive: Path, name: str, content: bytes) -> None:
    """Adds one file to the archive; one of this name from an earlier attempt is replaced."""
    kept = list(read_archive(archive)) if archive.is_file() else []
    rows = [*((path, mode, old) for path, mode, old in kept if path != name), (name, REGULAR, content)]
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for path, mode, body in sorted(rows):
            info = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = int(mode, 8) << 16
            file.writestr(info, body)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
