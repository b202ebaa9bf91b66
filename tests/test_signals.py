"""The signal that ends a process is noted; a handler of the user's is left alone."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.trainings import tracked
from tracker.journal import JournalReader
from tracker.signals import Termination


@pytest.fixture
def _default_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_default_handlers")
def test_a_default_handler_is_replaced_and_put_back():
    watch = Termination(lambda number: None)
    watch.install()
    during = signal.getsignal(signal.SIGTERM)
    watch.uninstall()

    assert during == watch._handle
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("_default_handlers")
def test_a_handler_of_the_users_stays_and_is_called():
    called = []
    signal.signal(signal.SIGTERM, lambda number, frame: called.append(number))
    theirs = signal.getsignal(signal.SIGTERM)
    with tracked() as run:
        assert signal.getsignal(signal.SIGTERM) is theirs
        os.kill(os.getpid(), signal.SIGTERM)
    after = signal.getsignal(signal.SIGTERM)

    assert called == [signal.SIGTERM]
    assert after is theirs
    assert JournalReader(run._session.rundir.journal).end_signal == 0


@pytest.mark.usefixtures("_default_handlers")
def test_a_handler_that_is_set_in_the_block_is_kept():
    def theirs(number, frame):
        pass

    with tracked():
        signal.signal(signal.SIGTERM, theirs)

    assert signal.getsignal(signal.SIGTERM) is theirs


@pytest.mark.usefixtures("_default_handlers")
def test_a_signal_ends_every_run_of_the_process_as_its_default_does():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with tracked() as outer, tracked() as inner:
                paths = f"{outer._session.rundir.journal}\n{inner._session.rundir.journal}"
                os.write(writer, paths.encode())
                os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as file:
        journals = [JournalReader(path) for path in file.read().split()]

    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGHUP
    assert [journal.end_signal for journal in journals] == [signal.SIGHUP] * 2


def test_in_a_thread_nothing_is_installed():
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        watch = Termination(lambda number: None)
        watch.install()
        found.append(signal.getsignal(signal.SIGTERM))
        watch.uninstall()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert found == [before]
