"""Data that the user names is identified with the run, whatever reads it."""

import json
import os

import pytest

from tracker import Run
from tracker.capture.data import digest_files
from tracker.capture.declared import absolute, as_declared, expand, files_below
from tracker.errors import ConfigError


def captured(tmp_path, declared, **more):
    found = digest_files(more.pop("paths", []), tmp_path / "out", declared=declared, **more)
    return found, json.loads((tmp_path / "out" / "data.json").read_text())


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_a_path_several_and_a_mapping_are_taken(tmp_path):
    assert as_declared("a.csv") == {"a.csv": ("a.csv",)}
    assert as_declared([tmp_path, "b"]) == {str(tmp_path): (str(tmp_path),), "b": ("b",)}
    assert as_declared({"train": tmp_path, "test": ["a", "b"]}) == {"train": (str(tmp_path),), "test": ("a", "b")}


@pytest.mark.parametrize("given", [3, {"train": None}, [""], {"train": []}, {"train": [object()]}, b"x", {"a": "b\0"}])
def test_what_names_no_data_is_a_mistake_that_is_told_at_once(given):
    with pytest.raises(ConfigError, match="'data'"):
        Run(data=given)


def test_files_folders_and_patterns_are_found_and_their_rows_named(tmp_path):
    data = fill(tmp_path / "data", "a.csv", "sub/b.csv", "sub/c.bin", "one.csv")

    found, content = captured(
        tmp_path,
        {"folder": [str(data / "sub")], "pattern": [str(data / "*.csv")], "file": [str(data / "one.csv")]},
        paths=[data / "a.csv"],
    )

    named = {row["path"].removeprefix(f"{data}/"): row["declared"] for row in content["items"]}
    assert named == {"a.csv": "pattern", "sub/b.csv": "folder", "sub/c.bin": "folder", "one.csv": "file"}
    assert [one["files"] for one in content["declared"]] == [2, 2, 1]
    assert (found.facts["identity"], found.gaps) == ("complete", [])


def test_the_digest_of_a_folder_is_that_of_its_listing_wherever_it_lies(tmp_path):
    digests = []
    for place in ("one", "two", "other"):
        folder = fill(tmp_path / place, "a", "b")
        if place == "other":
            (folder / "b").rename(folder / "c")
        digests.append(captured(tmp_path, {"x": [str(folder)]})[1]["declared"][0]["digest"])

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_reader_that_cannot_be_seen_is_covered_by_what_was_declared(tmp_path):
    data = fill(tmp_path, "a.nc")

    without, _ = captured(tmp_path, None, unseen_readers=["netCDF4"])
    with_it, _ = captured(tmp_path, {"x": [str(data / "a.nc")]}, unseen_readers=["netCDF4"])

    assert (without.facts["identity"], len(without.gaps)) == ("unknown", 1)
    assert (with_it.facts["identity"], with_it.gaps) == ("complete", [])


def test_declared_data_that_is_not_there_stops_the_claim(tmp_path):
    found, _ = captured(tmp_path, {"train": [str(tmp_path / "no*.csv")]})

    assert found.facts["identity"] == "unknown"
    assert [(gap.blocking, "no*.csv" in gap.what) for gap in found.gaps] == [(True, True)]


def test_an_address_is_kept_without_its_secrets_and_named_as_not_compared(tmp_path):
    declared = absolute({"train": ["s3://user:pass@bucket/x.parquet"]}, "/")

    found, content = captured(tmp_path, declared)

    assert content["declared"] == [{"name": "train", "uri": "s3://bucket/x.parquet"}]
    assert found.facts["identity"] == "unknown"
    assert [gap.blocking for gap in found.gaps] == [False]


def test_a_folder_of_too_many_files_is_cut_by_name_and_says_so(tmp_path):
    data = fill(tmp_path / "data", *map(str, range(9)))

    (one,) = expand({"x": [str(data)]}, most=4)

    assert [os.path.basename(file) for file in one.files] == ["0", "1", "2", "3"]
    assert one.is_capped


def test_links_in_a_circle_are_walked_once(tmp_path):
    data = fill(tmp_path / "data", "a", "sub/b")
    (data / "sub" / "up").symlink_to(data)

    assert [os.path.relpath(file, data) for file in files_below(str(data))] == ["a", "sub/b"]


def test_paths_are_those_of_the_folder_the_run_was_started_in(tmp_path):
    assert absolute({"x": ["data/a", "/b", "file:///c"]}, "/here") == {"x": ["/here/data/a", "/b", "/c"]}


def test_a_name_with_signs_of_a_pattern_is_a_file_where_there_is_one(tmp_path):
    data = fill(tmp_path, "part[1].csv")

    (one,) = expand({"x": [str(data / "part[1].csv")]})

    assert one.files == [str(data / "part[1].csv")]


def test_a_damaged_declaration_is_passed_over(tmp_path):
    assert expand([1, 2]) == []
    assert expand({"x": 3, "y": [None, ""]}) == []
