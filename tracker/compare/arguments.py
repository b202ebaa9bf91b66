"""Command lines taken apart into options, so that each one that differs is a difference of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .kinds import RecordedDifference
from .recorded import RecordedRun
from .told import topics_of_name


def arguments_of(run: RecordedRun) -> list[str] | None:
    """The words behind the script on the command line; None where they are not known."""
    account = run.captured("run.json") or (run.rundir.spec if run.rundir is not None else {})
    argv = account.get("argv")
    return [str(word) for word in argv[1:]] if isinstance(argv, list) and argv else None


def argument_differences(a: Sequence[str] | None, b: Sequence[str] | None) -> list[RecordedDifference]:
    """One for each option that is not given the same; one for all of them where they cannot be told apart."""
    if a is None or b is None or list(a) == list(b):
        return []
    left, right = options_of(a), options_of(b)
    if left is None or right is None or left == right:  # the same options in another order
        return [RecordedDifference("args", "argument", "arguments", _joined(a), _joined(b))]
    found = []
    for name in sorted({*left, *right}):
        one, other = left.get(name), right.get(name)
        if one != other:
            what = f"argument {name}" if name.startswith("-") else f"argument number {name}"
            found.append(
                RecordedDifference(
                    f"args:{name}", "argument", what, _given(one), _given(other), topics=topics_of_name(name)
                )
            )
    return found


def options_of(words: Sequence[str]) -> dict[str, list[str]] | None:
    """Words by option, `{"--lr": ["0.1"]}`, positional ones by their number; None where an option comes twice."""
    found: dict[str, list[str]] = {}
    for name, group in groups_of(words):
        if name in found:
            return None
        head = group[0].partition("=")
        own = [head[2]] if head[1] and head[0] == name else [] if head[0] == name else group[:1]
        found[name] = own + group[1:]
    return found


def groups_of(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Words with the option they belong to: `[("--lr", ["--lr", "0.1"]), ("1", ["run"])]`.

    What stands behind an option is its value, as nothing here knows which options take none.
    """
    found: list[tuple[str, list[str]]] = []
    is_open = False
    position = 0
    for word in words:
        name, sign, _ = word.partition("=")
        if re.match(r"--?[A-Za-z]", word):
            found.append((name, [word]))
            is_open = not sign
        elif is_open:
            found[-1][1].append(word)
        elif sign and re.fullmatch(r"[\w.+/~@]+", name):  # `optimizer.lr=0.1`, as Hydra has it
            found.append((name, [word]))
        else:
            position += 1
            found.append((str(position), [word]))
    return found


def with_option(a: Sequence[str], b: Sequence[str], name: str) -> list[str]:
    """The words of `a` with one option as `b` has it, or without it where `b` has none."""
    theirs = next((group for key, group in groups_of(b) if key == name), [])
    mine = groups_of(a)
    if all(key != name for key, _ in mine):
        return [*a, *theirs]
    return [word for key, group in mine for word in (theirs if key == name else group)]


def _joined(words: Sequence[str]) -> str:
    return " ".join(words) or "none"


def _given(values: Sequence[str] | None) -> str | None:
    return None if values is None else " ".join(values) or "given"
