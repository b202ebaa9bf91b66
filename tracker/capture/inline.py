"""Findings that the user's own code says are known and accepted.

::

    self.gate = nn.Linear(64, 64)   # tracker: ignore[dead-units] sparse on purpose
    # tracker: ignore[loss-spike, data] streaming data, in bursts

On a line that gives a value to `self.gate` or `gate` the comment is about that module and all inside it, anywhere else
about the whole run. Between the brackets stand rule ids, families or patterns; the reason behind them is stored in the
run.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..rules.engine.errors import LIST_COMMAND
from ..rules.engine.registry import Registry
from ..rules.engine.settings import Suppression

_MARK = "tracker: ignore"
_COMMENT = re.compile(r"#\s*tracker: ignore(?:\[([^\]]*)\])?\s*(.*)")
_TARGET = re.compile(r"\s*(?:self\.)?([A-Za-z_]\w*)\s*(?::[^=]+)?=(?!=)")
_MOST_FILES, _MOST_BYTES = 500, 1_000_000
_INSTALLED = ("site-packages", "dist-packages")


def own_files(script: str | None) -> list[Path]:
    """The script and the modules loaded so far that lie in its folder or below, installed ones left out."""
    if script is None:
        return []
    root = Path(script).parent
    files = {Path(script): None}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if isinstance(name, str) and name.endswith(".py") and not any(part in name for part in _INSTALLED):
            path = Path(name)
            if root in path.parents:
                files[path] = None
    return list(files)[:_MOST_FILES]


def suppressions(files: Iterable[Path], registry: Registry, warn: Callable[[str], None]) -> list[Suppression]:
    """What comments in the files suppress; `warn` is told of a comment that cannot be used."""
    found = []
    for path in files:
        try:
            if path.stat().st_size > _MOST_BYTES:
                continue
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if _MARK in text:
            found += list(_of_text(text, path, registry, warn))
    return found


def _of_text(text: str, path: Path, registry: Registry, warn: Callable[[str], None]) -> Iterator[Suppression]:
    for line, comment in _comments(text):
        match = _COMMENT.match(comment)
        if match is None:
            continue
        names = [name.strip() for name in (match[1] or "").split(",") if name.strip()]
        reason = match[2].strip(" -:")
        unknown = [name for name in names if not registry.knows(name)]
        problem = (
            "names no rule in brackets" if not names
            else f"names {unknown[0]!r}, which is no rule or family ({LIST_COMMAND.rstrip('.')})" if unknown
            else "gives no reason behind the brackets" if not reason
            else ""
        )  # fmt: skip
        if problem:
            warn(f"{path.name}: '{comment.strip()}' {problem}; expected '# {_MARK}[RULE] REASON'. It is not heeded.")
            continue
        target = _TARGET.match(line)
        subjects = (target[1], f"*.{target[1]}") if target else ("*",)
        for rule in names:
            yield from (Suppression(rule=rule, subject=subject, reason=reason) for subject in subjects)


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """(line, comment) of each comment; what is in strings is none."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and _MARK in token.string:
                yield token.line, token.string
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return
