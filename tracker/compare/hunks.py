"""The code of two runs, side by side: which lines of which file are not the same. Nothing of it is executed."""

from __future__ import annotations

import ast
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

MAX_TEXT_BYTES = 2 << 20
"""Larger files are compared as a whole."""

_MAX_LINES = 4000
"""Lines from the first to the last that differs, up to which those between are matched: that takes their square."""

_MAX_SHOWN_LINES = 40
_MAX_SHOWN_COLUMNS = 200
_MAX_PARSED = 60
"""Hunks of one file that are looked at one by one for whether they change the program."""


@dataclass(frozen=True)
class Hunk:
    """A run of lines of one file that is not the same in two runs, or a file that differs as a whole."""

    file: str
    """Path relative to the project, with slashes."""
    line: int = 0
    """First line in A, counted from 1; where lines were only added, the one before which they stand. 0: whole file."""
    n_lines: int = 0
    b_line: int = 0
    n_b_lines: int = 0
    removed: tuple[str, ...] = ()
    """The lines of A, as text and without their ends; long ones are cut."""
    added: tuple[str, ...] = ()
    whole: str = ""
    """Why it is not told line by line: `only in A`, `only in B`, `binary`, `mode`, `kind`; empty for lines."""
    is_program: bool = True
    """False where only comments, doc strings or the layout of a Python file differ."""

    @property
    def id(self) -> str:
        """Its name on the command line."""
        return f"code:{self.file}" if self.whole else f"code:{self.file}:{self.line}"

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return self.file if self.whole else f"{self.file} line {self.line}"

    @property
    def short(self) -> str:
        """The change in a line: its telling line of A against that of B."""
        if self.whole:
            return self.whole
        left, right = self.telling
        more = max(len(self.removed), len(self.added)) - 1
        text = f"{left or 'nothing'} against {right or 'nothing'}"
        return f"{text} and {more} more line{'s' * (more != 1)}" if more > 0 else text

    @property
    def telling(self) -> tuple[str, str]:
        """The first line of A and of B that says something, as code; empty where there is none."""
        return _telling(self.removed), _telling(self.added)

    def as_json(self) -> dict[str, Any]:
        """The hunk as JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "lines": self.n_lines,
            "b_line": self.b_line,
            "b_lines": self.n_b_lines,
            "removed": list(self.removed),
            "added": list(self.added),
            "whole": self.whole,
            "is_program": self.is_program,
        }


def _telling(lines: tuple[str, ...]) -> str:
    """The first line that says something, as code."""
    found = next((line.strip() for line in lines if line.strip()), "")
    return f"`{found[:77] + '...' if len(found) > 80 else found}`" if found else ""


def hunks_between(a: Path, b: Path) -> list[Hunk]:
    """Every difference of two folders, by file and line; `.git` is left out, symbolic links are not followed."""
    left, right = _files(a), _files(b)
    found: list[Hunk] = []
    for name in sorted({*left, *right}):
        if name not in right:
            found.append(_alone(a / name, name, "only in A"))
        elif name not in left:
            found.append(_alone(b / name, name, "only in B"))
        else:
            found += _of_file(a / name, b / name, name, left[name], right[name])
    return found


def _files(root: Path) -> dict[str, int]:
    """Every file below `root` with its mode."""
    found: dict[str, int] = {}
    for folder, folders, files in os.walk(root):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [name for name in folders if name != ".git" and name not in links]
        for name in [*files, *links]:
            path = Path(folder) / name
            if name != ".git":
                found[path.relative_to(root).as_posix()] = path.lstat().st_mode
    return found


def _alone(path: Path, name: str, whole: str) -> Hunk:
    content = _text(path)
    lines = () if content is None else _cut([line.decode("utf-8", "replace") for line in split_lines(content)])
    if whole == "only in A":
        return Hunk(name, whole=whole, removed=lines)
    return Hunk(name, whole=whole, added=lines)


def _of_file(a: Path, b: Path, name: str, mode_a: int, mode_b: int) -> Iterator[Hunk]:
    if stat.S_IFMT(mode_a) != stat.S_IFMT(mode_b):
        yield Hunk(name, whole="kind")
        return
    if stat.S_ISLNK(mode_a):
        one, other = os.readlink(a), os.readlink(b)
        if one != other:
            yield Hunk(name, whole="kind", removed=(one,), added=(other,))
        return
    if not stat.S_ISREG(mode_a):
        return
    one_text, other_text = _text(a), _text(b)
    if one_text is None or other_text is None:
        if not _same_content(a, b):
            yield Hunk(name, whole="binary")
    elif one_text != other_text:
        yield from _of_text(name, one_text, other_text)
    if (mode_a ^ mode_b) & stat.S_IXUSR:
        yield Hunk(name, whole="mode", is_program=False)


def _of_text(name: str, one: bytes, other: bytes) -> list[Hunk]:
    left, right = split_lines(one), split_lines(other)
    changes = _changes(left, right)
    is_python = name.endswith(".py")
    before = program_of(one) if is_python else None
    is_same_program = before is not None and before == program_of(other)
    found = []
    for i1, i2, j1, j2 in changes:
        is_program = not is_same_program
        if is_program and before is not None and len(changes) <= _MAX_PARSED:
            alone = program_of(b"".join([*left[:i1], *right[j1:j2], *left[i2:]]))
            is_program = alone != before
        found.append(
            Hunk(
                name, i1 + 1, i2 - i1, j1 + 1, j2 - j1,
                _cut([line.decode("utf-8", "replace") for line in left[i1:i2]]),
                _cut([line.decode("utf-8", "replace") for line in right[j1:j2]]),
                is_program=is_program,
            )
        )  # fmt: skip
    return found


def split_lines(content: bytes) -> list[bytes]:
    """Lines with their ends, at line feeds only, so that joined they are the content again."""
    lines = content.split(b"\n")
    ended = [line + b"\n" for line in lines[:-1]]
    return [*ended, lines[-1]] if lines[-1] else ended


def _changes(left: list[bytes], right: list[bytes]) -> list[tuple[int, int, int, int]]:
    """Where two lists of lines differ: `left[i1:i2]` stands for `right[j1:j2]`."""
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    end = 0
    while end < min(len(left), len(right)) - start and left[-1 - end] == right[-1 - end]:
        end += 1
    i, j = len(left) - end, len(right) - end
    if (i - start) * (j - start) > _MAX_LINES**2:
        return [(start, i, start, j)]
    matcher = SequenceMatcher(None, left[start:i], right[start:j], autojunk=False)
    return [
        (start + i1, start + i2, start + j1, start + j2)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]


def _cut(lines: list[str]) -> tuple[str, ...]:
    kept = [line.rstrip("\r\n") for line in lines[:_MAX_SHOWN_LINES]]
    kept = [line if len(line) <= _MAX_SHOWN_COLUMNS else f"{line[: _MAX_SHOWN_COLUMNS - 3]}..." for line in kept]
    return (*kept, f"... {len(lines) - _MAX_SHOWN_LINES} lines more") if len(lines) > _MAX_SHOWN_LINES else (*kept,)


def _text(path: Path) -> bytes | None:
    """The content of a text file; None for a link, a large file, and one with zero bytes."""
    if path.is_symlink() or path.stat().st_size > MAX_TEXT_BYTES:
        return None
    content = path.read_bytes()
    return None if b"\0" in content else content


def _same_content(a: Path, b: Path) -> bool:
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as one, b.open("rb") as other:
        while True:
            block = one.read(1 << 20)
            if block != other.read(1 << 20):
                return False
            if not block:
                return True


def program_of(content: bytes) -> str | None:
    """What a Python file says without comments, layout and doc strings; None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's code: it has been told already
            tree = ast.parse(content)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[0] if node.body else None
                if (
                    isinstance(first, ast.Expr)
                    and isinstance(first.value, ast.Constant)
                    and isinstance(first.value.value, str)
                ):
                    node.body = node.body[1:]
        return ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def apply(hunks: list[Hunk], a: Path, b: Path) -> None:
    """Puts the state of `b` into `a` for the files and lines of `hunks`; bytes come out of `b`, never out of a hunk.

    `a` and `b` are the folders between which the hunks were found. Raises `ValueError` for a path that leads out of
    `a` or `b`, or for lines that are not there: the hunk belongs to other code.
    """
    by_file: dict[str, list[Hunk]] = {}
    for hunk in hunks:
        by_file.setdefault(hunk.file, []).append(hunk)
    for name, rows in by_file.items():
        target, source = _inside(a, name), _inside(b, name)
        if any(hunk.whole for hunk in rows):
            _take_whole(target, source, rows)
            rows = [hunk for hunk in rows if not hunk.whole]
        if rows:
            if target.is_symlink() or source.is_symlink():
                raise ValueError(f"{name} is a link; expected a file with lines")
            left, right = split_lines(target.read_bytes()), split_lines(source.read_bytes())
            for hunk in sorted(rows, key=lambda hunk: -hunk.line):
                first, other = hunk.line - 1, hunk.b_line - 1
                if not (0 <= first <= first + hunk.n_lines <= len(left)):
                    raise ValueError(f"{name} has {len(left)} lines; the change is at line {hunk.line}")
                if not (0 <= other <= other + hunk.n_b_lines <= len(right)):
                    raise ValueError(f"{name} has {len(right)} lines in B; the change is at line {hunk.b_line}")
                left[first : first + hunk.n_lines] = right[other : other + hunk.n_b_lines]
            target.write_bytes(b"".join(left))


def _take_whole(target: Path, source: Path, rows: list[Hunk]) -> None:
    whole = {hunk.whole for hunk in rows if hunk.whole}
    if "only in A" in whole:
        target.unlink()
        return
    if whole == {"mode"}:
        target.chmod(source.stat().st_mode & 0o777)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        target.unlink()
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    else:
        target.write_bytes(source.read_bytes())
        target.chmod(source.stat().st_mode & 0o777)


def _inside(root: Path, name: str) -> Path:
    """The path of a file below `root`; no folder on the way to it is a link."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or ".git" in parts:
        raise ValueError(f"{name!r} leads out of the folder")
    path = root / name
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{name!r} leads out of the folder")
    return path
