"""A terminal to look at: runs a program on a pseudo-terminal, and shows what a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyte

ROOT = Path(__file__).resolve().parents[2]


class Seen:
    """A program in a terminal of its own, in the foreground; what it writes is drawn on a screen with a history."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        rows: int = 12,
        columns: int = 60,
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.columns, self.rows = columns, rows
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.last_rows: list[str] = []
        """The last row of the screen, after each piece that was read."""
        self._master, slave = os.openpty()
        self._set_size()
        given = {key: value for key, value in os.environ.items() if key not in ("CI", "PYTEST_CURRENT_TEST", "COLUMNS")}
        # As at a prompt: a shell owns the terminal, which else is gone, with what is unread, when the program ends.
        self.process = subprocess.Popen(
            ["sh", "-c", 'trap : INT; "$@"; exit $?', "sh", *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**given, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def _set_size(self) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        """Changes the size of the terminal, as a person does with the mouse."""
        self.rows, self.columns = rows, columns
        self.screen.resize(rows, columns)
        self._set_size()

    def until(self, met: Callable[[Seen], Any], seconds: float = 60.0) -> Seen:
        """Reads on until something is to be seen; fails when the program ends without it."""
        deadline = time.monotonic() + seconds
        while not met(self):
            if time.monotonic() > deadline or not self._read():
                self._stop("it was never to be seen")
        return self

    def to_the_end(self, seconds: float = 120.0) -> Seen:
        """Reads until the program has ended."""
        deadline = time.monotonic() + seconds
        while self._read():
            if time.monotonic() > deadline:
                self._stop("it has not ended")
        self.process.wait()
        os.close(self._master)
        return self

    def _stop(self, why: str) -> NoReturn:
        """Ends the program; without a shell to hold it, the terminal's processes are told that it is gone."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        raise AssertionError(f"{why}:\n" + "\n".join(self.text()))

    def _read(self) -> bool:
        """Draws what there is to read; False at the end."""
        if not select.select([self._master], [], [], 0.5)[0]:
            return True
        data = b""
        with contextlib.suppress(OSError):  # Linux tells the end of the other side so
            data = os.read(self._master, 65536)
        self.raw += data
        self._stream.feed(data)
        self.last_rows.append(self.last_row())
        return bool(data)

    def type(self, keys: bytes) -> None:
        """Sends what a person types: `b"\\x03"` is Ctrl-C."""
        os.write(self._master, keys)

    @property
    def program(self) -> int:
        """The process id of the program."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def text(self) -> list[str]:
        """Every line, from the first that scrolled away to the last that is not empty."""
        rows = [self._line(row) for row in self.screen.history.top]
        rows += [self._line(self.screen.buffer[y]) for y in range(self.screen.lines)]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def last_row(self) -> str:
        """What stands in the last row of the screen."""
        return self._line(self.screen.buffer[self.screen.lines - 1])

    def _line(self, row: Any) -> str:
        return "".join(row[x].data for x in range(self.screen.columns)).rstrip()

    @property
    def scrolls_whole(self) -> bool:
        """Whether all rows scroll, as they did before."""
        margins = self.screen.margins
        return margins is None or (margins.top, margins.bottom) == (0, self.screen.lines - 1)


def python(code: str, **options: Any) -> Seen:
    """A Python program in a terminal."""
    return Seen([sys.executable, "-c", code], **options)
