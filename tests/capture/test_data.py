"""Files that a training reads are noticed, identified and told from its outputs, without touching them."""

import hashlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import sysconfig
import time
import types
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker.capture.data import DataLimits, changed_files, digest_files
from tracker.capture.opened import OpenedFiles, children_paths
from tracker.capture.readers import watch_readers

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def opened():
    collector = OpenedFiles()
    collector.start()
    yield collector
    collector.stop()


def start_again(collector):
    """What was written until now was there before the run."""
    collector._written.clear()
    time.sleep(0.02)  # file systems know the time to some 10 ms
    collector.start()


def test_files_read_in_every_way_are_noticed_and_outputs_are_not(tmp_path, opened, monkeypatch):
    names = ["a.csv", "b.npy", "c.txt", "d.bin", "e.mm", "f.pt"]
    collector_off = opened.stop
    collector_off()
    np.save(tmp_path / "b.npy", np.arange(3))
    np.arange(4, dtype=np.uint8).tofile(tmp_path / "e.mm")
    torch.save({"x": torch.ones(2)}, tmp_path / "f.pt")
    for name in ("a.csv", "c.txt", "d.bin"):
        (tmp_path / name).write_text("1,2")
    sqlite3.connect(tmp_path / "g.db").close()
    start_again(opened)

    (tmp_path / "a.csv").read_text()
    np.load(tmp_path / "b.npy")
    monkeypatch.chdir(tmp_path)
    with open(b"c.txt"):
        pass
    os.close(os.open(tmp_path / "d.bin", os.O_RDONLY))
    np.memmap(tmp_path / "e.mm", mode="r", dtype=np.uint8)
    torch.load(tmp_path / "f.pt")
    sqlite3.connect(tmp_path / "g.db").close()
    (tmp_path / "log.txt").write_text("out")
    (tmp_path / "log.txt").read_text()
    os.close(os.open(tmp_path / "low.txt", os.O_WRONLY | os.O_CREAT))

    assert opened.paths() == [str(tmp_path / name) for name in [*names, "g.db"]]
    assert opened.written() == [str(tmp_path / "log.txt"), str(tmp_path / "low.txt")]


def test_code_system_files_and_our_own_folders_are_no_data(tmp_path, opened):
    ours = tmp_path / "ours"
    ours.mkdir()
    opened.start(ignore=[ours])
    for file in (tmp_path / "m.py", ours / "journal.bin", tmp_path / "kept.csv"):
        file.write_bytes(b"x")
    start_again(opened)

    for file in ("/proc/self/status", "/etc/hosts", tmp_path / "m.py", ours / "journal.bin", tmp_path / "kept.csv"):
        Path(file).read_bytes()
    Path(os.__file__).parent.joinpath("LICENSE.txt").exists()
    with open(Path(os.__file__)):
        pass

    assert opened.paths() == [str(tmp_path / "kept.csv")]


def test_a_stopped_collector_and_strange_arguments_are_harmless(tmp_path, opened):
    (tmp_path / "a").write_text("x")
    start_again(opened)
    sys.audit("open", None, "r", 0)
    sys.audit("open", object(), None, None)
    sys.audit("open")
    with pytest.raises(FileNotFoundError):
        (tmp_path / "missing").read_text()
    opened.stop()
    (tmp_path / "a").read_text()

    assert opened.paths() == []


def test_a_file_that_goes_away_after_it_was_seen_stays_listed(tmp_path, opened):
    (tmp_path / "a").touch()
    start_again(opened)
    (tmp_path / "a").read_text()
    before = opened.paths()
    (tmp_path / "a").unlink()

    assert before == opened.paths() == [str(tmp_path / "a")]


def test_a_file_that_torch_writes_unseen_and_the_run_reads_again_is_an_output(tmp_path, opened):
    time.sleep(0.02)  # file systems know the time to some 10 ms
    torch.save({"x": torch.ones(2)}, tmp_path / "best.pt")
    torch.load(tmp_path / "best.pt")

    assert opened.paths() == []


def test_a_file_that_was_looked_for_in_vain_and_made_later_is_an_output(tmp_path, opened):
    with pytest.raises(FileNotFoundError):
        (tmp_path / "cache.pt").read_bytes()
    torch.save({"x": torch.ones(2)}, tmp_path / "cache.pt")
    torch.load(tmp_path / "cache.pt")

    assert opened.paths() == []


def test_an_input_that_the_run_writes_over_is_named(tmp_path, opened):
    for name in ("last.pt", "kept.pt"):
        torch.save({"x": torch.ones(2)}, tmp_path / name)
    start_again(opened)
    for name in ("last.pt", "kept.pt"):
        torch.load(tmp_path / name)
    torch.save({"x": torch.ones(3)}, tmp_path / "last.pt")

    assert opened.paths() == [str(tmp_path / "last.pt"), str(tmp_path / "kept.pt")]
    assert opened.rewritten() == [str(tmp_path / "last.pt")]


def test_the_number_of_paths_is_bounded_and_the_rest_is_counted(tmp_path):
    for number in range(5):
        (tmp_path / str(number)).touch()
    collector = OpenedFiles(limit=3)
    for number in range(5):
        collector.note(tmp_path / str(number))

    assert len(collector.paths()) == 3
    assert collector.overflowed == 2


def test_readers_that_the_hook_cannot_see_are_wrapped_once(tmp_path, opened):
    pandas = pytest.importorskip("pandas")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "t.parquet"
    before = parquet.ParquetFile
    pandas.DataFrame({"x": [1, 2]}).to_parquet(file)
    start_again(opened)

    unseen = watch_readers(opened)
    watch_readers(opened)
    parquet.read_table(file)
    by_table = opened.paths()
    opened._read.clear()
    frame = pandas.read_parquet(path=str(file))

    assert unseen == []
    assert by_table == [str(file)]
    assert str(file) in opened.paths()
    assert frame["x"].tolist() == [1, 2]
    assert parquet.ParquetFile is before
    assert parquet.read_table.__name__ == "read_table"


def test_outputs_beyond_the_limit_are_no_missed_data(tmp_path):
    collector = OpenedFiles(limit=1)
    for number in range(3):
        collector.note_written(tmp_path / str(number))

    assert (len(collector.written()), collector.overflowed) == (1, 0)


class _Hdf5(types.ModuleType):
    class File:
        def __init__(self, name, mode="r"):
            self.mode = mode


def test_a_file_that_is_opened_to_append_is_read_where_it_was_there_before(tmp_path, opened, monkeypatch):
    library = _Hdf5("h5py")
    monkeypatch.setitem(sys.modules, "h5py", library)
    (tmp_path / "old.h5").touch()
    start_again(opened)
    watch_readers(opened)

    for name, mode in (("old.h5", "a"), ("new.h5", "a"), ("made.h5", "w"), ("read.h5", "r")):
        library.File(tmp_path / name, mode)

    assert opened.paths() == [str(tmp_path / "old.h5")]
    assert opened.written() == [str(tmp_path / name) for name in ("new.h5", "made.h5")]


def test_a_tensor_mapped_from_a_file_is_noticed(tmp_path, opened):
    file = tmp_path / "t.bin"
    file.write_bytes(bytes(8))
    start_again(opened)
    watch_readers(opened)

    mapped = torch.from_file(str(file), size=2, dtype=torch.float32)

    assert mapped.tolist() == [0.0, 0.0]
    assert opened.paths() == [str(file)]


LOADER = """
import sys, torch
from torch.utils.data import DataLoader, Dataset
from tracker.capture.opened import opened
class Files(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, n):
        return float(open(f"{n}.txt").read())
if __name__ == "__main__":
    torch.set_num_threads(1)
    opened.start(ignore=["spool"])
    opened.report_children("spool")
    print(sorted(float(v) for b in DataLoader(Files(), num_workers=2, batch_size=1) for v in b))
    print(len(opened.paths()))
"""


def test_files_that_only_data_loader_workers_read_are_reported(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(str(number))
    (tmp_path / "spool").mkdir()
    (tmp_path / "train.py").write_text(LOADER)

    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.splitlines() == ["[0.0, 1.0, 2.0, 3.0]", "0"]
    assert children_paths(tmp_path / "spool") == [str(tmp_path / f"{n}.txt") for n in range(4)]


def test_the_hook_is_silent_until_the_very_end_of_the_interpreter(tmp_path):
    code = (
        "from tracker.capture.opened import opened; opened.start(); import atexit, sys\n"
        "class Late:\n    def __del__(self, late=open): late('late.txt', 'w').close()\n"
        "keep = Late(); sys.modules['keep'] = keep"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("", "")


def test_small_files_have_the_plain_sha256(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1,2,3\n")

    captured = digest_files([tmp_path / "a.csv"], tmp_path / "out", root=tmp_path)
    row = items(tmp_path / "out")[0]

    assert row["sha256"] == hashlib.sha256(b"1,2,3\n").hexdigest()
    assert (row["kind"], row["relative"]) == ("full", "a.csv")
    assert captured.facts["identity"] == "complete"
    assert captured.gaps == []


def items(folder):
    return json.loads((folder / "data.json").read_text())["items"]


def test_a_large_file_is_sampled_labelled_so_and_its_copy_has_the_same_digest(tmp_path):
    limits = DataLimits(full_mb=0.5)
    (tmp_path / "big").write_bytes(os.urandom(2_000_000))
    (tmp_path / "copy").write_bytes((tmp_path / "big").read_bytes())
    os.utime(tmp_path / "copy", (1, 1))
    (tmp_path / "other").write_bytes((tmp_path / "big").read_bytes()[:-1] + b"?")

    captured = digest_files([tmp_path / name for name in ("big", "copy", "other")], tmp_path / "out", limits)
    big, copy, other = items(tmp_path / "out")

    assert big["kind"] == "sampled"
    assert big["sha256"] == copy["sha256"]
    assert big["sha256"] != other["sha256"]
    assert captured.facts["identity"] == "partial"
    assert [gap.blocking for gap in captured.gaps] == [False]


@pytest.mark.parametrize("limits", [DataLimits(total_mb=0.0015), DataLimits(seconds=-1)])
def test_reading_stops_at_the_limits_and_samples_the_rest(tmp_path, limits):
    for number in range(3):
        (tmp_path / str(number)).write_bytes(bytes(1000))

    digest_files([tmp_path / str(n) for n in range(3)], tmp_path / "out", limits)

    assert "sampled" in [row["kind"] for row in items(tmp_path / "out")]


def test_missing_files_pipes_and_folders_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    captured = digest_files([tmp_path / "gone.csv", tmp_path / "pipe", tmp_path], tmp_path / "out")

    assert [row["kind"] for row in items(tmp_path / "out")] == ["missing", "missing"]
    assert [gap.blocking for gap in captured.gaps] == [True]
    assert "gone.csv" in captured.gaps[0].what


def test_a_file_of_an_installed_distribution_is_known_by_it(tmp_path):
    package = Path(importlib.util.find_spec("sklearn").origin).parent  # found, not imported: that takes seconds
    file = package / "datasets" / "data" / "digits.csv.gz"
    out = tmp_path / "out"
    digest_files([file], out, sys_path=[sysconfig.get_path("purelib")])
    row = items(out)[0]

    assert row["distribution"] == f"scikit-learn=={metadata.version('scikit-learn')}"
    assert row["as_installed"] is True


def test_no_file_at_all_is_none_and_unknown_when_something_reads_unseen(tmp_path):
    none = digest_files([], tmp_path / "a")
    unknown = digest_files([], tmp_path / "b", unseen_readers=["h5py"])
    overflowed = digest_files([], tmp_path / "c", overflowed=7)

    assert none.facts["identity"] == "none"
    assert unknown.facts["identity"] == "unknown"
    assert "h5py" in unknown.gaps[0].what
    assert [gap.blocking for gap in overflowed.gaps] == [True]


def test_changed_missing_and_equal_files_are_told_apart_by_relative_path(tmp_path):
    for place in ("then", "now"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "same.csv").write_text("1")
        (tmp_path / place / "edited.csv").write_text(place)
    (tmp_path / "then" / "lost.csv").write_text("x")
    names = ["same.csv", "edited.csv", "lost.csv"]
    for place in ("then", "now"):
        folder = tmp_path / place
        digest_files([folder / name for name in names], tmp_path / f"out-{place}", root=folder)

    changed = changed_files(items(tmp_path / "out-then"), items(tmp_path / "out-now"))

    assert changed == ["edited.csv", "lost.csv"]
