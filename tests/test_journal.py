"""The journal gives back what was written, whatever kills its writer."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.journal import FIRST_CHUNK, HEADER_SIZE, RECORD_SIZE, Journal, JournalError, JournalReader
from tracker.rules.engine.records import Array, Event, Fact, Reading

STEPS = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(max_size=12)
FLOATS = st.floats(allow_nan=True, width=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(
    st.one_of(
        st.builds(Reading, NAMES, NAMES, STEPS, FLOATS),
        st.builds(Array, NAMES, NAMES, STEPS, st.lists(FLOATS, max_size=5).map(tuple)),
        st.builds(Event, NAMES, STEPS, st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
        st.builds(Fact, NAMES, STEPS, JSON),
    ),
    max_size=20,
)


def write(journal, record):
    if isinstance(record, Reading):
        journal.reading(record.signal, record.subject, record.step, record.value)
    elif isinstance(record, Array):
        journal.array(record.signal, record.subject, record.step, record.values)
    elif isinstance(record, Event):
        journal.event(record.name, record.step, record.data)
    else:
        journal.fact(record.name, record.step, record.value)


def read(path):
    return [record for _, record in JournalReader(path).read()]


def same(one, two):
    """Equal, with every NaN equal to every other and -0.0 unlike 0.0."""
    return repr(one) == repr(two)


def test_the_latest_reading_of_a_signal_is_found_among_all_that_was_written_since(tmp_path):
    journal = Journal(tmp_path / "journal.bin")
    before = journal.last("loss")
    journal.reading("loss", "", 1, 2.5)
    journal.reading("loss", "other", 2, 3.5)
    (trap,) = struct.unpack("<d", journal.tag("loss", "").to_bytes(8, "little"))
    for number in range(300):
        journal.reading("weight_norm", str(number), 2, 1.0)
        journal.array("trap", "", 2, [7.5, 7.5, trap])  # looks like the end of a record, and is none
    found = journal.last("loss")
    journal.reading("loss", "", 3, math.inf)
    latest = journal.last("loss")
    journal.close()

    assert (before, found, latest, journal.last("loss")) == (None, 2.5, math.inf, None)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=RECORDS)
def test_what_is_written_is_read_back(tmp_path, written):
    path = tmp_path / f"{os.urandom(8).hex()}.bin"
    journal = Journal(path)
    for record in written:
        write(journal, record)
    while_open = read(path)
    journal.close()

    assert same(while_open, written)
    assert same(read(path), written)


def test_a_long_text_and_a_lone_surrogate_survive(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.fact("long", 0, "ü" * 300_000)
    journal.event("odd", 1, {"name": "\ud800", "bytes": "\0"})
    journal.close()

    assert read(tmp_path / "j") == [Fact("long", 0, "ü" * 300_000), Event("odd", 1, {"name": "\ud800", "bytes": "\0"})]


def test_values_that_json_does_not_know_are_text_that_reads_back(tmp_path):
    numpy = pytest.importorskip("numpy")
    journal = Journal(tmp_path / "j")
    journal.fact("f", 0, {"nan": math.nan, "inf": [-math.inf], "numpy": numpy.float64("nan"), "path": Path("/a")})
    journal.close()
    (fact,) = read(tmp_path / "j")

    assert fact.value == {"nan": "nan", "inf": ["-inf"], "numpy": "nan", "path": "/a"}


def sample(path, close=True):
    """A journal with one of each kind."""
    journal = Journal(path)
    journal.reading("loss", "", 0, 0.5)
    journal.event("epoch", 1, {"epoch": 0})
    journal.reading("grad_norm", "layer.weight", 1, 2.5)
    journal.fact("params", 1, {"lr": 0.1})
    journal.array("histogram", "layer.weight", 2, [1.0, 2.0])
    journal.reading("loss", "", 2, 0.25)
    if close:
        journal.close()
    return journal


def test_a_file_cut_anywhere_gives_a_whole_beginning(tmp_path):
    sample(tmp_path / "whole")
    whole, content = read(tmp_path / "whole"), (tmp_path / "whole").read_bytes()
    cut = tmp_path / "cut"
    for size in range(HEADER_SIZE, len(content)):
        cut.write_bytes(content[:size])
        found = read(cut)

        assert found == whole[: len(found)]
        assert len(found) < len(whole)


def test_a_byte_that_was_never_written_stops_the_reader_or_changes_one_number(tmp_path):
    sample(tmp_path / "whole")
    whole, content = read(tmp_path / "whole"), (tmp_path / "whole").read_bytes()
    torn = tmp_path / "torn"
    for at in range(HEADER_SIZE, len(content)):
        torn.write_bytes(content[:at] + b"\0" + content[at + 1 :])
        found = read(torn)

        # A payload has a checksum. A bare number has none, and no writer leaves a hole in the middle of one.
        different = [n for n, (a, b) in enumerate(zip(found, whole)) if a != b]  # noqa: B905
        assert all(isinstance(found[n], (Reading, Event, Fact, Array)) for n in different)
        assert len(different) <= 1


@pytest.mark.parametrize("kind", [0, 8, 255])
def test_an_unknown_kind_ends_the_reading(tmp_path, kind):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.reading("loss", "", 0, 0.5)
    end = journal._offset
    journal.close()
    path.write_bytes(path.read_bytes()[:end] + struct.pack("<dqIHBB", 1.0, 1, 0, 1, 0, kind) + b"\1" * 240)

    assert read(path) == [Reading("loss", "", 0, 0.5)]


@pytest.mark.parametrize("size", [float("nan"), float("inf"), -1.0, 3.0, 2.0**39, 1e300])
def test_a_payload_of_an_impossible_size_is_not_read(tmp_path, size):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.reading("loss", "", 0, 0.5)
    journal.close()
    with open(path, "ab") as file:
        file.write(struct.pack("<dqIHBB", size, 1, 0, 1, 0, 3) + b"\1" * 240)

    assert read(path) == [Reading("loss", "", 0, 0.5)]


def test_a_reader_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    reader = JournalReader(path)
    seen = [[record.step for _, record in reader.read()]]
    for number in range(3):
        journal.reading("loss", f"new {number}", number, 0.0)
        journal.event("e", number, {"text": "x" * 50 * number})
        seen.append([record.step for _, record in reader.read()])
    half = iter(reader.read())
    journal.reading("loss", "", 8, 0.0)
    journal.reading("loss", "", 9, 0.0)
    first = next(half)[1].step
    rest = [record.step for _, record in reader.read()]
    journal.close()

    assert seen == [[], [0, 0], [1, 1], [2, 2]]
    assert (first, rest) == (8, [9])


def test_a_reader_may_read_while_a_thread_writes(tmp_path):
    journal = Journal(tmp_path / "j")
    reader, seen = JournalReader(tmp_path / "j"), []

    def work():
        for number in range(20_000):
            journal.reading("loss", "", number, float(number))
            if number % 1000 == 0:
                journal.event("epoch", number, {"text": "x" * 100})

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        seen += [record for _, record in reader.read()]
    journal.close()
    seen += [record for _, record in reader.read()]

    assert [r.value for r in seen if isinstance(r, Reading)] == list(map(float, range(20_000)))
    assert sum(isinstance(r, Event) for r in seen) == 20


def test_threads_write_at_once_and_nothing_is_lost(tmp_path):
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    journal = Journal(tmp_path / "j")

    def work(name):
        for number in range(8_000):
            journal.reading("loss", name, number, float(number))
            if number % 500 == 0:
                journal.event(f"event {name} {number}", number, {"text": "x" * (number % 97)})

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    journal.close()
    found = read(tmp_path / "j")

    for name in "0123":
        mine = [(r.step, r.value) for r in found if isinstance(r, Reading) and r.subject == name]
        assert mine == [(n, float(n)) for n in range(8_000)]
    assert sum(isinstance(r, Event) for r in found) == 4 * 16


def test_a_forked_child_writes_nothing(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.reading("loss", "", 0, 1.0)
    child = os.fork()
    if child == 0:
        journal.reading("loss", "", 1, 2.0)
        journal.event("e", 1)
        journal.mark_signal(9)
        journal.close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    journal.reading("loss", "", 2, 3.0)
    journal.close()

    assert status == 0
    assert read(tmp_path / "j") == [Reading("loss", "", 0, 1.0), Reading("loss", "", 2, 3.0)]
    assert JournalReader(tmp_path / "j").end_signal == 0


def test_a_child_forked_while_a_thread_holds_the_lock_does_not_hang(tmp_path):
    journal = Journal(tmp_path / "j")
    holds, free = threading.Event(), threading.Event()

    def hold():
        with journal._lock:
            holds.set()
            free.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        journal.event("e", 1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    free.set()
    thread.join()
    journal.close()

    assert status == 0


def test_the_file_grows_and_is_cut_to_what_was_written(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    n = 3 * FIRST_CHUNK // RECORD_SIZE
    for number in range(n):
        journal.reading("loss", "", number, float(number))
    journal.fact("big", n, "x" * 2 * FIRST_CHUNK)
    grown = path.stat().st_size
    journal.close()
    found = read(path)

    assert [r.value for r in found[:-1]] == list(map(float, range(n)))
    assert found[-1].value == "x" * 2 * FIRST_CHUNK
    assert path.stat().st_size < grown


def test_at_the_size_cap_readings_are_counted_and_events_still_written(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, cap=2 << 20)
    n = (2 << 20) // RECORD_SIZE
    for number in range(n):
        journal.reading("loss", "", number, 0.0)
    journal.event("epoch", n, {"epoch": 0})
    journal.fact("params", n, {"lr": 0.1})
    journal.close()
    found = read(path)
    kept = sum(isinstance(r, Reading) for r in found)

    assert [type(r) for r in found[-2:]] == [Event, Fact]
    assert JournalReader(path).dropped == journal.dropped == n - kept > 0
    assert path.stat().st_size <= 2 << 20


def test_a_full_disk_drops_readings_keeps_events_and_raises_nothing(tmp_path):
    path = tmp_path / "j"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        journal = Journal(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FIRST_CHUNK + 4096, old[1]))
        n = 2 * FIRST_CHUNK // RECORD_SIZE
        for number in range(n):
            journal.reading("loss", "", number, 0.0)
        journal.event("epoch", n, {"epoch": 0})
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    found = read(path)

    assert isinstance(found[-1], Event)
    assert JournalReader(path).dropped > 0
    assert sum(isinstance(r, Reading) for r in found) + JournalReader(path).dropped == n


def test_a_disk_without_room_for_the_first_chunk_is_an_error_that_leaves_no_file(tmp_path):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
        with pytest.raises(OSError, match=r"large|space"):
            Journal(tmp_path / "j")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)

    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(("value", "step"), [("a", 0), (None, 0), (1.0, "x"), (1.0, 2**63), ([], 1)])
def test_a_value_that_is_no_number_is_an_error_and_leaves_the_rest_readable(tmp_path, value, step):
    journal = Journal(tmp_path / "j")
    journal.reading("loss", "", 0, 1.0)
    with pytest.raises(TypeError, match="loss is no number"):
        journal.reading("loss", "", step, value)
    journal.reading("loss", "", 2, 3.0)
    journal.close()

    assert [r.value for r in read(tmp_path / "j")] == [1.0, 3.0]


@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 1000])
def test_readings_written_together_are_read_back_one_by_one(tmp_path, n):
    journal = Journal(tmp_path / "j")
    values = [math.inf, -0.0, 1e-300, *map(float, range(n))][:n]
    tags = [journal.tag("grad_norm", str(number)) for number in range(n)]
    journal.readings(tags, 7, values)
    journal.reading("loss", "", 8, 1.0)
    journal.close()

    assert read(tmp_path / "j") == [
        *(Reading("grad_norm", str(number), 7, value) for number, value in enumerate(values)),
        Reading("loss", "", 8, 1.0),
    ]


def test_readings_written_together_are_counted_at_the_size_cap(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, cap=2 << 20)
    tags = [journal.tag("grad_norm", str(number)) for number in range(100)]
    n = (2 << 20) // RECORD_SIZE // 100
    for number in range(n):
        journal.readings(tags, number, [1.0] * 100)
    journal.event("epoch", n, {"epoch": 0})
    journal.close()
    found = read(path)
    kept = sum(isinstance(r, Reading) for r in found)

    assert isinstance(found[-1], Event)
    assert JournalReader(path).dropped == journal.dropped == 100 * n - kept > 0
    assert kept > (1 << 20) // RECORD_SIZE - 400  # what is missing are the names


@pytest.mark.parametrize(("values", "step"), [([1.0, "a"], 0), ([1.0, None], 0), ([1.0, 2.0], 2**63)])
def test_among_readings_written_together_one_that_is_no_number_is_an_error(tmp_path, values, step):
    journal = Journal(tmp_path / "j")
    tags = [journal.tag("grad_norm", str(number)) for number in range(2)]
    with pytest.raises(TypeError, match="no numbers"):
        journal.readings(tags, step, values)
    with pytest.raises(ValueError, match="1 values were given for 2 tags"):
        journal.readings(tags, 0, [1.0])
    journal.reading("loss", "", 2, 3.0)
    journal.close()
    journal.readings(tags, 3, [1.0, 2.0])

    assert read(tmp_path / "j") == [Reading("loss", "", 2, 3.0)]


def test_threads_that_write_together_and_one_by_one_lose_nothing_while_the_file_grows(tmp_path):
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    journal = Journal(tmp_path / "j")
    n = 600

    def one_by_one():
        for number in range(50 * n):
            journal.reading("loss", "", number, float(number))

    def together(name):
        tags = [journal.tag("grad_norm", f"{name}{index}") for index in range(50)]
        for number in range(n):
            journal.readings(tags, number, [float(number)] * 50)

    threads = [threading.Thread(target=one_by_one), *(threading.Thread(target=together, args=(name,)) for name in "ab")]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    journal.close()
    found = [r for r in read(tmp_path / "j") if isinstance(r, Reading)]

    assert journal.path.stat().st_size > 2 * FIRST_CHUNK
    assert [r.step for r in found if r.signal == "loss"] == list(range(50 * n))
    for subject in ("a0", "a49", "b7"):
        assert [(r.step, r.value) for r in found if r.subject == subject] == [(i, float(i)) for i in range(n)]
    assert len(found) == 150 * n


def test_what_comes_after_the_end_is_ignored(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.reading("loss", "", 0, 1.0)
    journal.close()
    journal.reading("loss", "", 1, 1.0)
    journal.event("e", 1)
    journal.mark_signal(15)
    journal.close()

    assert len(read(tmp_path / "j")) == 1


def test_the_time_of_a_record_is_that_of_the_last_note(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.clock(1000.0)
    journal.reading("loss", "", 0, 1.0)
    journal.clock(2000.0)
    journal.reading("loss", "", 1, 1.0)
    journal.close()

    assert [at for at, _ in JournalReader(tmp_path / "j").read()] == [1000.0, 2000.0]


def test_a_file_that_is_no_journal_is_named(tmp_path):
    (tmp_path / "other").write_bytes(b"something else" * 10)

    with pytest.raises(JournalError, match="not a journal"):
        JournalReader(tmp_path / "other")


def test_a_journal_of_another_version_is_refused(tmp_path):
    sample(tmp_path / "j")
    content = bytearray((tmp_path / "j").read_bytes())
    content[8] = 99
    (tmp_path / "j").write_bytes(content)

    with pytest.raises(JournalError, match="format 99"):
        JournalReader(tmp_path / "j")


def test_a_file_that_exists_is_never_overwritten(tmp_path):
    (tmp_path / "j").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        Journal(tmp_path / "j")


WRITER = textwrap.dedent("""
    import sys
    from tracker.journal import Journal
    from pathlib import Path
    journal = Journal(Path(sys.argv[1]))
    number = 0
    while True:
        journal.reading("loss", "", number, float(number))
        if number % 50 == 0:
            journal.event("e", number, {"text": "x" * (number % 300)})
        if number % 2000 == 0:
            print(number, flush=True)
        number += 1
""")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_killed_writer_leaves_everything_it_wrote(tmp_path, seed, root):
    path = tmp_path / "j"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    said = int(process.stdout.readline())
    time.sleep(random.Random(seed).uniform(0.01, 0.2))
    process.kill()
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    said = int(rest[-1]) if rest else said
    numbers = [r.step for r in read(path) if isinstance(r, Reading)]

    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= said
    assert JournalReader(path).pid == process.pid


def test_the_header_is_as_described(tmp_path):
    journal = sample(tmp_path / "j", close=False)
    journal.mark_signal(15)
    raw = (tmp_path / "j").read_bytes()[:HEADER_SIZE]
    journal.close()

    assert raw[:8] == b"SOUNDRUN"
    assert struct.unpack_from("<HHH", raw, 8) == (1, 64, 24)
    assert struct.unpack_from("<Q", raw, 16) == (os.getpid(),)
    assert struct.unpack_from("<I", raw, 32) == (15,)
    assert JournalReader(tmp_path / "j").end_signal == 15
    assert json.dumps({"pid": JournalReader(tmp_path / "j").pid})
