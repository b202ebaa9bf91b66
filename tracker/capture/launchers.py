"""How processes that train together were started, in a form that starts them again: `torchrun`, `accelerate launch`.

Read in the process of a rank, from its own words and those of its parent; nothing is asked of any other process.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..rules.engine.records import Json

LAUNCHER = "launcher"
"""In the account of a run (`run.json`): what stands between the interpreter and the script, as a list of words."""

TORCHRUN, ACCELERATE = "torch.distributed.run", "accelerate.commands.launch"
_PROGRAMS = {"torchrun": (TORCHRUN, 0), "accelerate": (ACCELERATE, 1)}
"""By the name of a program: the module that does the same, and how many words behind it say what it is to do."""
_MODULES = {TORCHRUN: TORCHRUN, "torch.distributed.launch": TORCHRUN, ACCELERATE: ACCELERATE}
_AS_MANY = ("auto", "cpu", "gpu")
_COUNT = re.compile(r"(--nproc[-_]per[-_]node)(?:=(.*))?\Z")
_NOT_PYTHON = ("--no-python", "--no_python", "--run-path", "--run_path")
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_LONGEST = 60


def started_by(parent: Sequence[str], own: Sequence[str]) -> list[str] | None:
    """The words between the interpreter and the script of a launch like this one; None where it cannot be repeated.

    `parent` are the words of the process that started this rank, `own` those of the rank itself. Empty where the
    script made its ranks itself, by multiprocessing: to run it makes them again.
    """
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return []
    if os.environ.get("LOCAL_WORLD_SIZE", "") != os.environ.get("WORLD_SIZE", ""):
        return None  # several machines
    script = list(own[_behind_flags(own) :])
    if script[:1] == ["-m"]:
        script = script[1:]
    found = _program(parent)
    if found is None or not script:
        return None
    module, words = found
    if words[len(words) - len(script) :] != script:
        return None  # arguments were added: what came from the launcher and what from the user cannot be told apart
    options = words[: len(words) - len(script)]
    if options[-1:] in (["-m"], ["--module"]):
        options = options[:-1]  # the script's own form says it
    if any(word in _NOT_PYTHON for word in options) or len(options) > _LONGEST:
        return None
    return ["-m", module, *_counted(options)]


def launcher_of(account: Mapping[str, Any]) -> list[str] | None:
    """The stored words of a launcher, for an interpreter; None where there are none.

    `account` may be a stranger's: anything but one of the modules above with its options is None as well.
    """
    words = account.get(LAUNCHER)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    if words and (len(words) < 2 or words[0] != "-m" or words[1] not in (TORCHRUN, ACCELERATE)):
        return None
    return None if any(word in _NOT_PYTHON for word in words) else [str(word) for word in words]


def as_json(launcher: Sequence[str] | None) -> Json:
    """The words as they are stored, secrets hidden."""
    from .environment import redact_arguments

    return None if launcher is None else [*redact_arguments(launcher)[0]]


def started_as() -> str | None:
    """The name that multiprocessing has given this process; None for one that it has not started."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return None
    return str(multiprocessing.current_process().name)


def seedings_of(processes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """By the names of processes that a script has started to train together: what their generators began with.

    `processes` are the contents of `process.json` of the ranks.
    """
    found = {str(process.get("started_as") or ""): process.get("randomness") for process in processes}
    return {name: content.get("seedings") for name, content in found.items() if name and isinstance(content, dict)}


def _behind_flags(words: Sequence[str]) -> int:
    """Where the script, or `-m`, stands among the words of an interpreter."""
    place = 1
    while place < len(words) and words[place].startswith("-") and words[place] != "-m":
        place += 2 if words[place] in _WITH_VALUE else 1
    return place


def _program(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """The module that a launcher's process runs, and the words behind it; None for a program that is not known."""
    if not words:
        return None
    place = 0
    if os.path.basename(words[0]) not in _PROGRAMS:
        place = _behind_flags(words)
    if list(words[place : place + 1]) == ["-m"]:
        if words[place + 1] == "torch.distributed.launch" and not {"--use-env", "--use_env"} & set(words):
            return None  # it gives each script an argument of its own
        module = _MODULES.get(words[place + 1])
        return None if module is None else (module, list(words[place + 2 :]))
    name = os.path.basename(words[place]) if place < len(words) else ""
    if name not in _PROGRAMS:
        return None
    module, more = _PROGRAMS[name]
    return module, list(words[place + 1 + more :])


def _counted(options: Sequence[str]) -> list[str]:
    """The options with the number of processes as it was: `auto` and `gpu` depend on the machine."""
    count = os.environ.get("LOCAL_WORLD_SIZE", "")
    counted = list(options)
    for place, word in enumerate(options):
        found = _COUNT.match(word)
        if not found or not count:
            continue
        if found[2] in _AS_MANY:
            counted[place] = f"{found[1]}={count}"
        elif found[2] is None and options[place + 1 : place + 2] and options[place + 1] in _AS_MANY:
            counted[place + 1] = count
    return counted
