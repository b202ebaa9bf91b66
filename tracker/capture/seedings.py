"""What the random generators of a process began with, call by call, so that a re-run can begin them the same way.

A seed that a script takes from the clock, the system's entropy behind a generator that was made without one: each is
noted as it passes, under the line of code that asked for it. Nothing is drawn and nothing is changed, but in a re-run,
where the original's value is given in the place of the new one. Worker processes leave theirs in a file each.
"""

from __future__ import annotations

import os
import sys

# Under `tracker run` this is loaded at the start of every Python process: what is slow to import waits.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType
    from typing import Any

    Stored = Mapping[str, Mapping[str, list[str]]]

ENTROPY = "numpy.entropy"
"""What numpy asked of the system for a generator without a seed: `bits:number`."""
FRESH = "random.fresh"
"""The state of a `random.Random` that seeded itself, packed as `packed` does."""
DRAWN = "torch.seed"
"""The seed that torch drew from the system when it was asked to."""
STARTED = "started"
"""How generators were in a child when it began: they are its own, as Python seeds `random` anew after a fork."""
SYSTEM = "random.SystemRandom"
"""That numbers were drawn from the system itself, which cannot be repeated. Only where, never which."""
GENERATOR = "torch.generator"
"""How a loader's own generator was when it was first used: `seed:number`, or its state."""

OVERFLOW = "overflow"
"""What a child says once when there are too many of one of these kinds."""

MOST: Mapping[str, int] = {ENTROPY: 10_000, FRESH: 250, GENERATOR: 20}
MOST_GIVEN = 2_000
"""How many are kept of each kind in a process; the others are seeds that were given, which mostly stay the same."""
MOST_GIVEN_BY_LINE = 100
_LONGEST = 400
"""Characters of a seed that was given; of a longer one only a digest is kept."""
_TOLD = 5

CHILD_FILE = "seedings-"
_LAUNCH = "TRACKER_LAUNCH"
_NO_NAME = "MainProcess"  # that of multiprocessing for a process which it has not started

_SERVER = "ForkServer"
_SERVER_CODE = "from multiprocessing.forkserver import main"
"""How the command of the process begins that forks children for the method `forkserver`."""

CELL = "cell"
"""In the place of a line, that of any cell of a notebook: its lines are others in the script that is made of them."""

_OWN = __name__.partition(".")[0]
_HOOKS = tuple(f"{__name__.rpartition('.')[0]}.{name}" for name in ("entropy", "torch_seeds"))
_PASSED_BY = frozenset(
    (*_HOOKS, "random", "secrets", "numpy.random", "torch.random", "torch.cuda.random", "torch._compile")
)
_PASSED_BY_WITHIN = ("torch.utils.data.", "torch._dynamo.")
"""Modules and packages whose lines say nothing of who asked."""
_OF_NO_INTEREST = frozenset(("tempfile", "torch.utils.data._utils.worker"))
"""Names of files are to differ, and what a loader's worker gives as seeds follows from the loader's own."""
_WRAPPER = ":importlib_bootstrap"


def asked_by(frame: FrameType | None) -> str:
    """The line that asked for a generator, as `module:line`; empty for one that counts for nothing, as those of ours.

    Looks outwards from `frame`, past the modules that only pass the question on.
    """
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name in _OF_NO_INTEREST:
            return ""
        is_wrapper = frame.f_code.co_filename.endswith(_WRAPPER)
        if not is_wrapper and name not in _PASSED_BY and not name.startswith(_PASSED_BY_WITHIN):
            if name == "__main__" and _is_cell(frame.f_code.co_filename):
                return CELL
            return "" if name.partition(".")[0] == _OWN else f"{name}:{frame.f_lineno}{_thread()}"
        frame = frame.f_back
    return ""


def _is_cell(file: str) -> bool:
    """Whether code is that of a notebook's cell, by the name that IPython gives to its file."""
    return "ipykernel_" in file or file.startswith("<ipython-")


def _thread() -> str:
    """The thread that asks, as ` in <name>`, as threads come by in any order; empty for the main one."""
    threading: Any = sys.modules.get("threading")
    # Not current_thread(), which makes one up for a thread that was started in C.
    thread = threading._active.get(threading.get_ident()) if threading is not None else None
    return "" if thread is None or thread is threading.main_thread() else f" in {thread.name}"


class Seedings:
    """The notes of one process. `note` adds one, `stored` gives what the original had in its place."""

    def __init__(self) -> None:
        self.overflowed: dict[str, int] = {}
        """By kind: how many were not kept."""
        self._found: dict[str, dict[str, list[str]]] = {}
        self._counts: dict[str, int] = {}
        self._again: dict[str, dict[str, list[str]]] = {}
        self._again_in_children: Mapping[str, Stored] = {}
        self._pid = os.getpid()
        is_server = any(word.startswith(_SERVER_CODE) for word in sys.orig_argv)
        self.is_started_afresh = is_server or "--multiprocessing-fork" in sys.orig_argv
        """Whether multiprocessing has started this process, not by a fork."""
        self._child = _SERVER if is_server else ""
        self._of_server = os.getppid() if is_server else 0
        self._unsent: list[tuple[str, str, str]] = []
        self._folder: str | None = None
        self._told = 0
        self._drawn: dict[str, str] = {}

    def give_again(self, stored: object, in_children: object = None) -> None:
        """In a re-run: what the original noted in this process, and in its children by their names."""
        self._again_in_children = in_children if isinstance(in_children, dict) else {}
        # A child that was started afresh is known by its name, which it learns later.
        self._again = _copied(self._again_in_children.get(self._child) if self.is_started_afresh else stored)

    def report_to(self, folder: str) -> None:
        """Have children that multiprocessing forks write what they note into `folder`, unless a launch has its own."""
        self._folder = folder

    def as_json(self) -> dict[str, dict[str, list[str]]]:
        """By kind and by line: what was noted in this process, in order."""
        return {kind: {line: list(values) for line, values in lines.items()} for kind, lines in self._found.items()}

    def has(self, kind: str, value: str) -> bool:
        """Whether this process has noted `value`."""
        return any(value in values for values in self._found.get(kind, {}).values())

    def note(self, kind: str, line: str, value: str) -> None:
        """Keeps `value`, unless there are too many of its kind."""
        if not line or not self._knows_itself():
            return
        count = self._counts.get(kind, 0)
        values = self._found.setdefault(kind, {}).setdefault(line, [])
        if count >= MOST.get(kind, MOST_GIVEN) or (kind not in MOST and len(values) >= MOST_GIVEN_BY_LINE):
            self._overflow(kind)
            return
        self._counts[kind] = count + 1
        values.append(value)
        self._pass_on(kind, line, value)

    def stored(self, kind: str, line: str) -> str | None:
        """What the original noted in this place, given once; None in every process but that of a re-run."""
        if not line or not self._knows_itself() or not self._again:
            return None
        lines = self._again.get(kind)
        in_a_cell = CELL if line.startswith("__main__:") else ""
        values = (lines.get(line) or lines.get("") or lines.get(in_a_cell)) if lines else None
        return values.pop(0) if values else None

    def given(self, function: str, line: str, seed: Any) -> Any:
        """Notes a seed that was given to `function`; returns the one to use: in a re-run, that of the original."""
        text = as_text(seed)
        if text is None or not line:
            return seed
        self._is_only_a_seed(text)
        then = self.stored(function, line)
        if then is not None and then != text:
            meant = from_text(then)
            if meant is None:
                self.tell(f"{function} ({line}) is given another text than in the original, where it was not kept.")
            else:
                self.tell(f"{function} ({line}) is given {text}; the original's seed {then} is used.")
                seed, text = meant, then
        self.note(function, line, text)
        return seed

    def from_system(self, line: str, number: Any) -> None:
        """Notes that `number` was drawn from the system itself; only the line is kept, until it is given as a seed."""
        text = as_text(number) if isinstance(number, int) else None
        if text is not None and len(self._drawn) < MOST_GIVEN_BY_LINE:
            self._drawn[text] = line
        if not self.has(SYSTEM, line):
            self.note(SYSTEM, "lines", line)

    def _is_only_a_seed(self, text: str) -> None:
        """A number that is given as a seed is given again by a re-run, wherever it was drawn."""
        line = self._drawn.pop(text, None)
        lines = self._found.get(SYSTEM, {}).get("lines", [])
        if line in lines and line not in self._drawn.values():
            lines.remove(line)

    def tell(self, what: str) -> None:
        """Says on stderr what a re-run does otherwise; only the first few times."""
        self._told += 1
        if self._told <= _TOLD:
            sys.stderr.write(f"tracker: {what}\n")

    def _knows_itself(self) -> bool:
        """Whether what is noted can be found again: not in a child that was forked behind multiprocessing's back."""
        pid = os.getpid()
        if pid == self._pid and (self._child or not self.is_started_afresh):
            return True
        process: Any = sys.modules.get("multiprocessing.process")
        name = process.current_process().name if process is not None else _NO_NAME
        if pid == self._pid and name == _NO_NAME:
            return True  # its name comes later, and with it what is not sent yet
        if name in (_NO_NAME, self._child):
            return False
        if pid != self._pid:
            self._found, self._counts, self.overflowed, self._unsent = {}, {}, {}, []
            self._pid, self.is_started_afresh = pid, False
        self._child = name
        self._again = _copied(self._again_in_children.get(name))
        return True

    def _overflow(self, kind: str) -> None:
        if kind in MOST and kind not in self.overflowed:
            self._pass_on(OVERFLOW, kind, kind)
        self.overflowed[kind] = self.overflowed.get(kind, 0) + 1

    def _pass_on(self, kind: str, line: str, value: str) -> None:
        if self._child or self.is_started_afresh:
            self._unsent.append((kind, line, value))
            self._send()

    def _send(self) -> None:
        folder = self._place()
        if not self._child or folder is None:
            return
        import json

        unsent, self._unsent = self._unsent, []
        lines = "".join(json.dumps([self._child, *one]) + "\n" for one in unsent)
        try:
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{CHILD_FILE}{os.getpid()}.txt"), "a", encoding="utf-8") as file:
                file.write(lines)
        except OSError:
            return  # a full disk must not stop the user's worker

    def _place(self) -> str | None:
        launch = os.environ.get(_LAUNCH)
        if not launch:
            return self._folder
        # The same place as `launched.opened_by_children`, whose module is not loaded here.
        return os.path.join(launch, "opened", str(self._of_server or os.getppid()))


def _copied(stored: object) -> dict[str, dict[str, list[str]]]:
    """What was stored, if it has the form that `as_json` gives it."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind, lines in stored.items() if isinstance(stored, dict) else ():
        for line, values in lines.items() if isinstance(lines, dict) else ():
            if isinstance(values, list):
                found.setdefault(kind, {})[line] = [value for value in values if isinstance(value, str)]
    return found


def as_text(seed: Any) -> str | None:
    """A seed as it is kept: a number as Python writes it, a digest of a text; None for what is no seed."""
    if isinstance(seed, (str, bytes, bytearray)):
        from hashlib import blake2b

        data = seed.encode("utf-8", "surrogatepass") if isinstance(seed, str) else bytes(seed)
        return f"text:{blake2b(data, digest_size=8).hexdigest()}"
    if isinstance(seed, float):
        return repr(float(seed))
    try:
        number = seed.__index__()
    except Exception:
        return None
    if number.bit_length() < 3 * _LONGEST:
        return str(int(number))
    return as_text(hex(number))


def from_text(text: str) -> int | float | None:
    """The number that `as_text` wrote; None where only a digest was kept."""
    if len(text) > _LONGEST:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def children_notes(
    folders: Iterable[str | os.PathLike[str]], most_bytes: int = 32 << 20
) -> tuple[dict[str, dict[str, dict[str, list[str]]]], int]:
    """By the name of the process, what children left in `folders`; and how many left more than `most_bytes` in all.

    Lines that cannot be read are passed over.
    """
    import json
    from pathlib import Path

    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    left_out = 0
    for folder in folders:
        for file in sorted(Path(folder).glob(f"{CHILD_FILE}*.txt"), key=lambda path: path.stat().st_mtime_ns):
            most_bytes -= file.stat().st_size
            if most_bytes < 0:
                left_out += 1
                continue
            for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    name, kind, line, value = json.loads(text)
                    found.setdefault(str(name), {}).setdefault(str(kind), {}).setdefault(str(line), []).append(
                        str(value)
                    )
                except (ValueError, TypeError):
                    continue  # cut short when its writer was killed
    return found, left_out


seedings = Seedings()
"""The notes of this process."""
