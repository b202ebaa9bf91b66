"""A command that runs under us as if we were not there: signals, exit code and terminal are its own.

The command is a child in our process group with our streams. What the terminal sends reaches the whole group, the
command too; what somebody sends to us alone has to be passed on. The two look the same to a process. So a witness
stands beside us in the group, blocks all signals and tells which it got: what it got too, the command has already.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
WITNESS_SECONDS = 0.05
"""How long the witness is waited for. The kernel gives a signal to all of a group in one go."""
_ALONE_SECONDS = 1.0
"""How often the witness looks whether we still live."""
_SET_DEATH_SIGNAL, _SET_DUMPABLE = 1, 4
"""PR_SET_PDEATHSIG and PR_SET_DUMPABLE of prctl(2)."""


class Witness:
    """A small process in our group that tells which signals the whole group got."""

    def __init__(self) -> None:
        """Raises `OSError` when no process can be made. No other thread may run: this is a plain fork."""
        self._pipe, writes = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            try:
                _bear_witness(writes, parent)
            finally:
                os._exit(0)
        os.close(writes)

    def has_seen(self, number: int) -> bool:
        """Whether the group got signal `number` just now."""
        while select.select([self._pipe], [], [], WITNESS_SECONDS)[0]:
            told = os.read(self._pipe, 1)
            if not told:
                return False  # it is gone
            if told[0] == number:
                return True
        return False

    def leave(self) -> None:
        """Ends the witness."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._pipe)


def _bear_witness(pipe: int, parent: int) -> None:
    watched = set(PASSED_ON)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    # The reader of a pipe that the command's output goes to waits until the last process that holds it has ended.
    for stream in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.close(stream)
    while os.getppid() == parent:
        info = signal.sigtimedwait(watched, _ALONE_SECONDS)
        if info is not None:
            os.write(pipe, bytes([info.si_signo]))


def death_with_us() -> Callable[[], None]:
    """What a child does ahead of its command, as `preexec_fn`, to be killed when we are."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def die_with_us() -> None:
        prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return die_with_us


def run_in_our_place(command: Sequence[str], environment: Mapping[str, str], started: Callable[[int], None]) -> int:
    """Runs a command to its end; returns its exit code, or minus the number of the signal that ended it.

    `started(pid)` is called once it runs. When we are killed, it is killed as well. Raises `OSError` when it cannot be
    started.
    """
    die_with_us = death_with_us()
    witness = _witness()
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if witness is not None and witness.has_seen(number):
            return
        if witness is None and number == signal.SIGINT:
            return  # most come from the terminal
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # What is ignored, as under nohup, stays so, for the command too. A handler, unlike that, ends with exec.
    held = {n: signal.signal(n, pass_on) for n in PASSED_ON if signal.getsignal(n) != signal.SIG_IGN}
    try:
        # Descriptors that the caller has given are passed on; our own are closed by exec.
        child = subprocess.Popen(command, env=environment, close_fds=False, preexec_fn=die_with_us)
        for number in early:
            child.send_signal(number)
        started(child.pid)
        return child.wait()
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if witness is not None:
            witness.leave()


def _witness() -> Witness | None:
    try:
        return Witness()
    except OSError:
        return None


def end_likewise(returncode: int) -> int:
    """Ends this process by the signal that ended the command, without a second core; returns an exit code as it is."""
    if returncode >= 0:
        return returncode
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0)
    with contextlib.suppress(OSError, ValueError):  # SIGKILL has no handler to put back
        signal.signal(-returncode, signal.SIG_DFL)
    os.kill(os.getpid(), -returncode)
    return 128 - returncode
