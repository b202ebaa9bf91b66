"""The data of a run: looked for on this machine, mapped, compared, and put where the re-run looks for it."""

import json
import os
from pathlib import Path

import pytest

from tracker.capture.data import DataLimits, digest_files, weaker_files
from tracker.reproduce.data import DataCheck, place_data
from tracker.reproduce.outputs import absolute_outputs, files_naming_original, names_original


def recorded_data(tmp_path, **files):
    project = tmp_path / "project"
    project.mkdir()
    for name, content in files.items():
        (project / name).write_text(content)
    into = tmp_path / "capture"
    digest_files([project / name for name in files], into, root=project)
    return project, json.loads((into / "data.json").read_text())


def test_unchanged_data_is_found_unchanged(tmp_path):
    _, data = recorded_data(tmp_path, a="1", b="2")

    assert DataCheck(data).changed(tmp_path / "restored") == []


def test_changed_and_missing_data_is_named(tmp_path):
    project, data = recorded_data(tmp_path, a="1", b="2", c="3")
    (project / "a").write_text("9")
    (project / "b").unlink()

    assert DataCheck(data).changed(tmp_path / "restored") == ["a (changed)", "b (missing)"]


def test_data_that_came_back_with_the_code_is_checked_there(tmp_path):
    project, data = recorded_data(tmp_path, a="1")
    restored = tmp_path / "restored"
    restored.mkdir()
    (restored / "a").write_text("other")
    check = DataCheck(data)

    assert check.changed(restored) == ["a (changed)"]
    assert check.outside_project(restored) == []

    (restored / "a").unlink()
    assert check.changed(restored) == []
    assert [item["path"] for item in check.outside_project(restored)] == [str(project / "a")]


def test_no_recorded_data_is_nothing_to_check(tmp_path):
    assert DataCheck({}).changed(tmp_path) == []
    assert DataCheck({}).identity == "unknown"


def test_data_of_the_project_is_copied_so_that_the_original_cannot_be_written(tmp_path):
    source = tmp_path / "original.csv"
    source.write_text("1,2\n")
    root = tmp_path / "restored"
    root.mkdir()
    item = {"path": str(source), "relative": "data/original.csv", "size": 4}

    linked = place_data(root, [item])
    (root / "data/original.csv").write_text("changed")

    assert linked == []
    assert source.read_text() == "1,2\n"


def test_data_that_is_too_large_to_copy_is_linked_and_named(tmp_path):
    source = tmp_path / "huge.bin"
    source.write_bytes(b"x")
    root = tmp_path / "restored"
    root.mkdir()

    linked = place_data(root, [{"path": str(source), "relative": "huge.bin", "size": 2 << 30}])

    assert linked == ["huge.bin"]
    assert (root / "huge.bin").readlink() == source


def test_data_cannot_be_placed_outside_of_the_folder(tmp_path):
    source = tmp_path / "x"
    source.write_text("x")
    root = tmp_path / "restored"
    root.mkdir()

    place_data(root, [{"path": str(source), "relative": "../escaped", "size": 1}])

    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("name", ["../escaped", "/escaped", ".git/hooks/post-checkout", "sub/.GIT/config", ""])
def test_no_recorded_name_leads_out_of_the_folder_or_into_its_git(tmp_path, name):
    source = tmp_path / "x"
    source.write_text("x")
    root = tmp_path / "restored"
    (root / ".git").mkdir(parents=True)

    place_data(root, [{"path": str(source), "relative": name, "size": 1, "replaces": True}])

    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "escaped").exists()


def test_damaged_records_are_passed_over(tmp_path):
    items = [3, {}, {"path": 1}, {"path": "relative"}, {"path": "/x\0"}, {"path": "/x", "relative": 5}]
    check = DataCheck({"items": items, "declared": [1, {"given": 2}, {"given": "/nowhere", "files": 1}]})

    assert (check.items, check.changed(tmp_path), check.weaker(), check.addresses()) == ([], [], [], [])
    assert DataCheck({"items": "x", "declared": 5}).items == []
    odd = DataCheck({"items": [{"path": str(tmp_path), "kind": ["?"], "size": "large", "hub": 3, "distribution": 1}]})
    assert odd.changed(tmp_path) == []


def recorded_with(tmp_path, limits, **files):
    project = tmp_path / "project"
    project.mkdir()
    for name, content in files.items():
        (project / name).write_bytes(content)
    digest_files([project / name for name in files], tmp_path / "capture", limits, root=project)
    return project, json.loads((tmp_path / "capture" / "data.json").read_text())


def test_a_sampled_file_is_compared_by_samples_and_said_to_be_weaker(tmp_path):
    project, data = recorded_with(tmp_path, DataLimits(full_mb=0.1), big=bytes(3_000_000), small=b"1")
    check = DataCheck(data)

    same = check.weaker(tmp_path / "again")
    os.utime(project / "big", (1, 1))
    later = check.weaker(tmp_path / "again")

    assert same == ["big is compared by its size and samples of its content (the same date)"]
    assert later == ["big is compared by its size and samples of its content (another date)"]
    assert check.changed(tmp_path / "again") == []
    assert weaker_files(data["items"]) == ["big"]
    (project / "big").write_bytes(bytes(2_999_999) + b"?")
    assert check.changed(tmp_path / "again") == ["big (changed)"]


def test_a_file_that_was_digested_whole_is_so_again_however_large(tmp_path, monkeypatch):
    project, data = recorded_with(tmp_path, DataLimits(full_mb=1000), big=bytes(70_000_000))

    assert data["items"][0]["kind"] == "full"
    assert DataCheck(data).changed(tmp_path / "again") == []
    with (project / "big").open("r+b") as file:  # between the samples
        file.seek(1_000_000)
        file.write(b"?")
    assert DataCheck(data).changed(tmp_path / "again") == ["big (changed)"]


def declared(tmp_path, folder, **more):
    digest_files([], tmp_path / "capture", declared={"train": [str(folder)]}, **more)
    return json.loads((tmp_path / "capture" / "data.json").read_text())


def test_a_file_that_came_up_in_a_declared_folder_is_named(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("1")
    data = declared(tmp_path, folder)

    assert DataCheck(data).changed(tmp_path / "again") == []
    (folder / "b").write_text("2")
    assert DataCheck(data).changed(tmp_path / "again") == [f"{folder}/b (new in the declared data 'train')"]


def test_declared_addresses_are_said_to_be_unchecked(tmp_path):
    digest_files([], tmp_path / "capture", declared={"train": ["s3://bucket/x"]})
    data = json.loads((tmp_path / "capture" / "data.json").read_text())

    assert DataCheck(data).addresses() == ["train at s3://bucket/x"]
    assert DataCheck(data).changed(tmp_path) == []


COMMIT = "c" * 40


def hub_file(cache):
    file = cache / "hub" / "models--org--net" / "snapshots" / COMMIT / "model.bin"
    file.parent.mkdir(parents=True)
    file.write_text("weights")
    return file


def test_a_hubs_file_is_found_in_this_machines_cache_and_else_its_download_is_named(tmp_path):
    file = hub_file(tmp_path / "then")
    digest_files([file], tmp_path / "capture")
    data = json.loads((tmp_path / "capture" / "data.json").read_text())
    file.unlink()

    without = DataCheck(data, variables={"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "now")})
    assert without.changed(tmp_path / "again") == [f"{file} (missing: hf download org/net --revision {COMMIT})"]
    here = hub_file(tmp_path / "now")
    assert without.changed(tmp_path / "again") == []
    here.write_text("Weights")
    assert without.changed(tmp_path / "again") == [f"{file} (changed)"]


def outputs(*rows):
    return {"outputs": [*rows]}


def test_what_the_original_wrote_elsewhere_will_be_written_again(tmp_path):
    rows = outputs(
        {"path": "/models/net.pt", "absolute": True},
        {"path": "/home/up.txt", "from_root": "../up.txt", "climbing": True},
        {"path": str(tmp_path / "again" / "x")},
    )

    assert absolute_outputs(rows, tmp_path / "again") == ["/models/net.pt", str(tmp_path / "up.txt")]
    assert absolute_outputs({"outputs": [1, {"path": 3}, {"path": "relative"}]}, tmp_path) == []
    assert absolute_outputs({"outputs": "x"}, tmp_path) == absolute_outputs({}, tmp_path) == []


def test_absolute_names_inside_of_the_project_count_where_its_code_names_the_project(tmp_path):
    root = tmp_path / "again"
    root.mkdir()
    rows = outputs({"path": "/home/me/project/out/net.pt", "relative": "out/net.pt", "absolute": True})
    project = Path("/home/me/project")

    (root / "train.py").write_text("out = '/home/me/project2/out'")
    assert absolute_outputs(rows, root, project) == []
    (root / "conf.yaml").write_text("a: 1\nout: /home/me/project/out\n")
    assert absolute_outputs(rows, root, project) == ["/home/me/project/out/net.pt"]
    assert files_naming_original(root, project) == ["conf.yaml:2"]


def test_words_that_name_the_original_project_are_found():
    words = ["--out=/home/me/project/out", "/home/me/project", "/home/me/project2", "out", "x:/home/me/project:y"]

    assert names_original(words, Path("/home/me/project")) == [words[0], words[1], words[4]]
    assert names_original(words, None) == names_original(["/x"], Path("/")) == []
