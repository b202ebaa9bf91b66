"""IPython's commands in a cell, as plain Python that does the same; what cannot be is left out and named.

Works on what IPython's own transformer makes of them: `%cd data` is `get_ipython().run_line_magic('cd', 'data')`.
Nothing here runs a command: `!pip install x` is not repeated, and said so.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

_SHOWING = (
    "matplotlib config load_ext reload_ext unload_ext autoreload who whos who_ls history hist pinfo pinfo2 pdoc pdef"
    " psource pfile psearch page pprint precision colors xmode tb pdb pwd dirs dhist doctest_mode magic lsmagic"
    " quickref tensorboard pycat cat more less man ls ll lf lk ldir lx automagic notebook save load loadpy recall rep"
    " edit alias unalias rehashx gui logstart logstop logon logoff logstate system_info timeit_info code_wrap"
    " subshell iopub_data_rate_limit connect_info qtconsole"
)
_SHOWS = frozenset(_SHOWING.split())
"""Line magics that show something, or set up how it is shown: no number depends on them."""

_SHOW_CELLS = frozenset(["html", "HTML", "svg", "SVG", "latex", "markdown", "javascript", "js"])
_RUN_CELLS = frozenset(["time", "prun", "capture"])
_PROGRAMS = frozenset(
    ["bash", "sh", "script", "!", "!!", "sx", "system", "perl", "ruby", "python", "python2", "python3", "pypy", "cmd"]
)
_INSTALLS = frozenset(["pip", "conda", "mamba", "micromamba", "uv"])
_CALLS = frozenset(["run_line_magic", "run_cell_magic", "system", "getoutput", "magic"])
_PYLAB = (
    "import numpy, matplotlib; from matplotlib import pylab, mlab, pyplot; np = numpy; plt = pyplot; "
    "from pylab import *; from numpy import *"
)
_MAYBE_IPYTHON = re.compile(r"^\s*[%!?]|=\s*[%!]|\?\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Note:
    """Something of a notebook that its script does not do."""

    what: str
    blocking: bool = False


@dataclass
class Magics:
    """Converts the cells of one notebook; collects what is left out, and what the converted text needs."""

    root: PurePath | None = None
    """Folder of the project: an absolute path below it is meant as one in the restored project."""
    start: PurePath | None = None
    """Folder of the script, below `root`."""
    is_inside: bool = True
    """Whether the notebook began in that folder; else `%cd` was its way into the project, where a script begins."""
    notes: list[Note] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)

    def plain(self, source: str, number: int) -> str:
        """The text of cell `number` without IPython's commands; raises `SyntaxError` where it is no Python."""
        edits: list[tuple[int, int, bytes]] = []
        place = places(source)
        for node, is_statement in _uses_of_ipython(parsed(source)):
            if isinstance(node, ast.Attribute):
                self._leave_out(number, f"get_ipython().{node.attr}", blocking=True)
                continue
            words = [word.value if isinstance(word, ast.Constant) else None for word in node.args]
            texts = [str(word) for word in words if isinstance(word, str)]
            method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if len(texts) == len(words) > 0:
                text = self._call(method, texts, number, is_statement)
            else:
                self._leave_out(number, f"get_ipython().{method}(...)", blocking=True)
                text = "None"
            start, end = place(node.lineno, node.col_offset), place(node.end_lineno or 0, node.end_col_offset or 0)
            edits.append((start, end, text.encode("utf-8")))
        raw = source.encode("utf-8")
        for start, end, new in sorted(edits, reverse=True):
            raw = raw[:start] + new + raw[end:]
        return raw.decode("utf-8")

    def _call(self, method: str, texts: list[str], number: int, is_statement: bool) -> str:
        if method in ("system", "getoutput"):
            shown = f"!{texts[0]}"
            # What a command printed was data of the notebook's where it got a name.
            self._leave_out(number, shown, blocking=not is_statement)
            return _nothing(shown) if is_statement else "[]"
        name, arguments = texts[0].lstrip("%"), texts[1] if len(texts) > 1 else ""
        if method == "magic" and " " in name:
            name, _, arguments = name.partition(" ")
        if method == "run_cell_magic":
            return self._cell(name, arguments, texts[2] if len(texts) > 2 else "", number)
        return self._line(name, arguments.strip(), number) if is_statement else self._value(name, arguments, number)

    # -- whole cells -----------------------------------------------------------------------------------------------

    def _cell(self, name: str, arguments: str, body: str, number: int) -> str:
        shown = f"%%{name} {arguments}".strip()
        if name in _RUN_CELLS:
            options = [word for word in arguments.split() if not word.startswith("-")]
            if name == "capture" and options:
                self.notes.append(
                    Note(f"cell [{number}]: {shown} keeps what was printed, which a script does not", True)
                )
            return f"# ({shown})\n{self.plain(_transformed(body), number)}"
        if name in ("writefile", "file"):
            return self._write(arguments, body, number, shown)
        if name not in _SHOW_CELLS:
            # A program apart leaves no names behind; what another magic makes of its text nobody knows.
            self._leave_out(number, shown, blocking=name not in _PROGRAMS and name != "timeit")
        return "\n".join([_nothing(shown), *(f"# {line}" for line in body.splitlines())]) + "\n"

    def _write(self, arguments: str, body: str, number: int, shown: str) -> str:
        words = _words(arguments)
        mode = "a" if "-a" in words or "--append" in words else "w"
        names = [word for word in words if not word.startswith("-")]
        if len(names) != 1 or _expands(arguments):
            self._leave_out(number, shown, blocking=True)
            return _nothing(shown)
        self.needs |= {"_os", "_write_file"}
        lines = "".join(f"    {line!r}\n" for line in body.splitlines(keepends=True)) or "    ''\n"
        return f"_write_file({self._path(names[0])}, (\n{lines}), {mode!r})\n"

    # -- single lines ----------------------------------------------------------------------------------------------

    def _line(self, name: str, arguments: str, number: int) -> str:
        shown = f"%{name} {arguments}".strip()
        known: dict[str, Callable[[str], str | None]] = {
            "cd": self._cd,
            "env": self._env,
            "set_env": self._env,
            "run": self._run,
            "time": _statement,
            "prun": _statement,
            "aimport": lambda words: f"import {words}" if re.fullmatch(r"[\w.]+(\s*,\s*[\w.]+)*", words) else None,
            "pylab": lambda words: _PYLAB,
        }
        if name in _SHOWS:
            return _nothing(shown)
        if name in known:
            text = known[name](arguments)
            if text is not None:
                return text
            self._leave_out(number, shown, blocking=True)
            return _nothing(shown)
        # `%store -r` brings names back; what an unknown one does is not known either.
        self._leave_out(number, shown, blocking=name in ("store", "macro", "rerun"))
        return _nothing(shown)

    def _value(self, name: str, arguments: str, number: int) -> str:
        """The converted text of a magic whose result gets a name, or is part of an expression."""
        if name == "pwd":
            self.needs.add("_os")
            return "_os.getcwd()"
        if name == "env" and re.fullmatch(r"\w+", arguments.strip()):
            self.needs.add("_os")
            return f"_os.environ.get({arguments.strip()!r})"
        if name in ("time", "prun") and _is_expression(arguments):
            return f"({arguments})"
        self._leave_out(number, f"%{name} {arguments}".strip(), blocking=True)
        return "None"

    def _cd(self, arguments: str) -> str | None:
        words = [word for word in _words(arguments) if word != "-q"]
        if len(words) != 1 or words[0].startswith("-") or _expands(arguments):
            return None
        if not self.is_inside and not os.path.isabs(words[0]):
            self.notes.append(Note(f"%cd {words[0]} led from outside into the project, where the script begins"))
            return _nothing(f"%cd {words[0]}")
        self.needs.add("_os")
        return f"_os.chdir(_os.path.expanduser({self._path(words[0])}))"

    def _env(self, arguments: str) -> str | None:
        if re.fullmatch(r"\w*", arguments):
            return _nothing(f"%env {arguments}")
        found = re.fullmatch(r"(\w+)(?:\s*=\s*|\s+)(.+)", arguments)
        if found is None or _expands(found[2]):
            return None
        self.needs.add("_os")
        return f"_os.environ[{found[1]!r}] = {found[2]!r}"

    def _run(self, arguments: str) -> str | None:
        words = _words(arguments)
        if not words or _expands(arguments):
            return None
        if words[0] == "-m" and len(words) > 1:
            self.needs |= {"_run_module"}
            return f"_run_module({words[1]!r}, {words[2:]!r})"
        names = "{'__name__': '__main__', '__file__': %s}"
        if words[0] == "-i":
            names, words = "globals()", words[1:]
        if not words or words[0].startswith("-") or words[0].endswith(".ipynb"):
            return None
        path = words[0] if words[0].endswith((".py", ".ipy")) else f"{words[0]}.py"
        if path.endswith(".ipy"):
            return None
        self.needs |= {"_os", "_run_file"}
        place = self._path(path)
        return f"_run_file({place}, {words[1:]!r}, {names.replace('%s', place)})"

    # -- paths and notes -------------------------------------------------------------------------------------------

    def _path(self, path: str) -> str:
        """A path as an expression: what lay in the project lies in the restored one."""
        given = PurePath(os.path.normpath(path))
        if self.root is None or self.start is None or not given.is_relative_to(self.root):
            return repr(path)
        self.needs |= {"_os", "_here"}
        return f"_here({os.path.relpath(given, self.start)!r})"

    def _leave_out(self, number: int, shown: str, *, blocking: bool) -> None:
        line = " ".join(shown.split())
        short = line if len(line) <= 80 else f"{line[:77]}..."
        name = line.lstrip("%!").split(" ")[0] if line.lstrip("%!") else ""
        kind = "a command of the shell" if line.startswith("!") else "a command of IPython"
        why = "which installs packages" if name in _INSTALLS else kind
        self.notes.append(Note(f"cell [{number}]: {short}, {why}, is not repeated", blocking))


def parsed(source: str, flags: int = 0) -> ast.Module:
    """The syntax tree of a cell, which may wait at its top; raises `SyntaxError`. Its warnings are not ours to say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flags |= ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        try:
            tree = compile(source, "<cell>", "exec", flags, dont_inherit=True)
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nested beyond what Python takes
            raise SyntaxError(str(error)) from None
    if not isinstance(tree, ast.Module):
        raise SyntaxError(f"expected the tree of a module, got {type(tree).__name__}")
    return tree


def _uses_of_ipython(tree: ast.AST) -> Iterator[tuple[ast.Call | ast.Attribute, bool]]:
    """Where something of `get_ipython()` is called, or else asked for: the outermost node; whether it is a statement.

    Its class is asked for to tell a notebook from a script, which a script may do as well.
    """
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, is_statement = pending.pop()
        if isinstance(node, ast.Call) and _is_ipython(node.func) and getattr(node.func, "attr", "") in _CALLS:
            yield node, is_statement
        elif isinstance(node, ast.Attribute) and _is_ipython(node) and node.attr != "__class__":
            yield node, False
        else:
            pending += [(child, isinstance(node, ast.Expr)) for child in ast.iter_child_nodes(node)]


def _is_ipython(node: ast.expr) -> bool:
    """True for an attribute of what `get_ipython()` gives."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "get_ipython"
    )


def places(source: str) -> Callable[[int, int], int]:
    """A function from line and column, as a syntax tree counts them, to the byte of the UTF-8 text."""
    starts = [0]
    for line in re.split(rb"(?<=\n)|(?<=\r)(?!\n)", source.encode("utf-8")):
        starts.append(starts[-1] + len(line))
    return lambda line, column: starts[line - 1] + column


def _transformed(body: str) -> str:
    """The body of a cell magic, whose own magics IPython transforms when it comes to it."""
    if not _MAYBE_IPYTHON.search(body):
        return textwrap.dedent(body) if body[:1] in " \t" else body
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return body
    manager: Any = TransformerManager
    return str(manager().transform_cell(body))


def _nothing(shown: str) -> str:
    return f"pass  # {' '.join(shown.split())}"


def _statement(source: str) -> str | None:
    """A statement to be executed as it stands; None where there is none, or options before it."""
    try:
        return source if source and not source.startswith("-") and parsed(source).body else None
    except SyntaxError:
        return None


def _is_expression(source: str) -> bool:
    try:
        ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return False
    return True


def _words(arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()


def _expands(arguments: str) -> bool:
    """True where IPython would put the value of a name in."""
    return "{" in arguments or "$" in arguments
