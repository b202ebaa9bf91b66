"""`--data OLD=NEW`: what it maps, where the command names it, and what it cannot lead elsewhere."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reproduce.test_rerun import EMPTY
from tracker.capture.data import digest_files
from tracker.errors import ReproduceError
from tracker.reproduce.data import DataCheck, place_data
from tracker.reproduce.moved import Moved


def fill(folder, **contents):
    """Writes files; `__` in a name stands for a slash."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def recorded(tmp_path, project, *files, climbing=()):
    """data.json of a run that read `files`."""
    digest_files(files, tmp_path / "capture", root=project)
    data = json.loads((tmp_path / "capture" / "data.json").read_text())
    for item in data["items"]:
        if item["path"] in climbing:
            item["from_root"] = f"../{Path(item['path']).name}"
    return data


@pytest.fixture
def old(tmp_path):
    """The data of a run, and a project beside it."""
    fill(tmp_path / "project", train_py="")
    return fill(tmp_path / "old", a="1", sub__b="2")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "restored"
    folder.mkdir()
    return folder


# -- the words -----------------------------------------------------------------------------------------------------


def test_a_pair_is_read_absolute_or_relative_to_the_project(tmp_path):
    fill(tmp_path, new="x")

    moved = Moved.parse([f"/data/x={tmp_path}/new", f"data={tmp_path}"], Path("/p"))

    assert moved.place("/data/x") == tmp_path / "new"
    assert moved.place("/p/data/a/b") == tmp_path / "a/b"
    assert moved.place("/p/database") is None
    assert moved.place("/data/xy") is None


def test_the_longest_original_counts(tmp_path):
    fill(tmp_path, one__a="", two__a="")

    moved = Moved.parse([f"/d={tmp_path}/one", f"/d/e={tmp_path}/two"])

    assert moved.place("/d/e/a") == tmp_path / "two/a"
    assert moved.place("/d/a") == tmp_path / "one/a"


def test_a_name_with_an_equals_sign_is_split_where_something_exists(tmp_path):
    fill(tmp_path, **{"lr=1__a": ""})

    moved = Moved.parse([f"/d/lr=1={tmp_path}/lr=1"])

    assert moved.place("/d/lr=1/a") == tmp_path / "lr=1" / "a"


@pytest.mark.parametrize("words", ["x", "=y", "x=", "/x=/nowhere/at/all", "x=/", "/=/", "/p=/"])
def test_what_is_no_pair_is_told_with_what_was_expected(words):
    with pytest.raises(ReproduceError, match=r"[Ee]xpected"):
        Moved.parse([words], None if words == "x=/" else Path("/p"))


def test_one_original_at_two_places_is_a_mistake(tmp_path):
    fill(tmp_path, a="", b="")

    with pytest.raises(ReproduceError, match="twice"):
        Moved.parse([f"/d={tmp_path}/a", f"/d={tmp_path}/b"])


def test_arguments_and_variables_that_name_the_original_are_told_the_new_place(tmp_path):
    new = str(tmp_path)
    moved = Moved.parse([f"/data/set={new}"], Path("/p"))
    words = [
        "/data/set", "/data/set/a.csv", "--data=/data/set/a", "-d/data/set", "paths=[/data/set/a,/data/set/b]",
        "file:///data/set/a", "/data/set2", "/my/data/set", "x/data/set", "data/set", "",
    ]  # fmt: skip

    assert moved.arguments(words) == (
        new, f"{new}/a.csv", f"--data={new}/a", f"-d{new}", f"paths=[{new}/a,{new}/b]",
        f"file://{new}/a", "/data/set2", "/my/data/set", "x/data/set", "data/set", "",
    )  # fmt: skip
    assert moved.variables({"DATA": "/data/set:/x", "OTHER": "1"}) == {"DATA": f"{new}:/x", "OTHER": "1"}


def test_what_was_put_in_is_not_replaced_again(tmp_path):
    fill(tmp_path, a__a="")

    moved = Moved.parse([f"{tmp_path}={tmp_path}/a", f"{tmp_path}/a={tmp_path}/a/a"])

    assert moved.arguments([str(tmp_path / "x")]) == (str(tmp_path / "a" / "x"),)


def test_relative_words_change_where_they_lead_out_of_the_project_and_not_inside(tmp_path):
    moved = Moved.parse([f"../data={tmp_path}", f"inside={tmp_path}"], Path("/home/p"), "sub")

    words = moved.arguments(["../../data/x", "--data=../../data/x", "../inside/x", "../../database"])

    assert words == (f"{tmp_path}/x", f"--data={tmp_path}/x", "../inside/x", "../../database")


def test_a_plan_is_changed_and_what_its_command_names_is_remembered(tmp_path):
    fill(tmp_path, a="", b="")
    moved = Moved.parse([f"/a={tmp_path}/a", f"/b={tmp_path}/b"])

    plan, seen = moved.applied(replace(EMPTY, arguments=("--data", "/a"), variables={"X": "y"}))

    assert plan.arguments == ("--data", f"{tmp_path}/a")
    assert seen.named == {"/a"}
    assert Moved().applied(EMPTY)[0] == EMPTY


# -- the files -----------------------------------------------------------------------------------------------------


def test_data_outside_that_the_command_names_is_checked_at_its_new_place(tmp_path, old, root):
    data = recorded(tmp_path, tmp_path / "project", old / "a", old / "sub" / "b")
    old.rename(tmp_path / "new")
    plan = replace(EMPTY, arguments=(str(old),), project=tmp_path / "project")

    _, moved = Moved.parse([f"{old}={tmp_path}/new"], plan.project).applied(plan)
    check = DataCheck(data, moved)

    assert (check.changed(root), check.hard_coded(root), check.unknown()) == ([], [], [])
    (tmp_path / "new" / "a").write_text("9")
    assert check.changed(root) == [f"{old}/a (changed)"]


def test_an_original_that_the_code_names_itself_is_an_error_with_the_line_and_the_link(tmp_path, old, root):
    data = recorded(tmp_path, tmp_path / "project", old / "a")
    fill(root, **{"conf__run.yaml": f"x: 1\ndata: {old}/a\n", "other.py": f"'{old}2/a'"})
    moved = Moved.parse([f"{old}={tmp_path}/new"], tmp_path / "project") if old.rename(tmp_path / "new") else None

    (said,) = DataCheck(data, moved).hard_coded(root)

    assert said.startswith(f"the code (conf/run.yaml:2) names {old} itself: make a link there (ln -s {tmp_path}/new")
    assert DataCheck(data, moved).changed(root) != []


def test_an_original_that_nothing_names_is_said_so_and_one_that_is_still_there_is_fine(tmp_path, old, root):
    data = recorded(tmp_path, tmp_path / "project", old / "a")
    fill(tmp_path, new__a="1")
    moved = Moved.parse([f"{old}={tmp_path}/new"], tmp_path / "project")

    assert DataCheck(data, moved).hard_coded(root) == []
    (old / "a").unlink()
    assert DataCheck(data, moved).hard_coded(root)[0].startswith("no argument and no file of the project names it")


def test_files_of_the_project_come_from_the_new_place(tmp_path, root):
    project = fill(tmp_path / "project", data__x="1", data__y="2")
    data = recorded(tmp_path, project, project / "data" / "x", project / "data" / "y")
    (project / "data").rename(tmp_path / "new")
    moved = Moved.parse([f"data={tmp_path}/new"], project)
    check = DataCheck(data, moved)

    assert check.changed(root) == []
    assert place_data(root, check.outside_project(root)) == []
    assert (root / "data" / "x").read_text() == "1"
    (root / "data" / "x").write_text("changed")
    assert (tmp_path / "new" / "x").read_text() == "1"


def test_what_is_mapped_stands_before_a_stored_copy(tmp_path, root):
    project = fill(tmp_path / "project", x="1")
    data = recorded(tmp_path, project, project / "x")
    fill(root, x="1")
    fill(tmp_path, other="2")
    check = DataCheck(data, Moved.parse([f"x={tmp_path}/other"], project))

    assert check.changed(root) == ["x (changed)"]
    place_data(root, check.outside_project(root))
    assert (root / "x").read_text() == "2"


def test_where_all_that_is_around_the_project_moved_the_restored_copy_stands(tmp_path, root):
    project = fill(tmp_path / "home" / "project", x="1", y="2")
    data = recorded(tmp_path, project, project / "x", project / "y")
    (tmp_path / "home").rename(tmp_path / "new")
    fill(tmp_path, new__project__x="edited since")
    fill(root, x="1")
    check = DataCheck(data, Moved.parse([f"{tmp_path}/home={tmp_path}/new"], project))

    assert check.changed(root) == []
    place_data(root, check.outside_project(root))
    assert [(root / name).read_text() for name in ("x", "y")] == ["1", "2"]


def test_a_link_of_the_project_out_of_it_is_pointed_at_the_new_place(tmp_path, root, old):
    project = tmp_path / "project"
    (project / "data").symlink_to(old)
    (root / "data").symlink_to(old)
    data = recorded(tmp_path, project, project / "data" / "a")
    old.rename(tmp_path / "new")

    for given in (f"data={tmp_path}/new", f"{old}={tmp_path}/new"):
        (root / "data").unlink()
        (root / "data").symlink_to(old)
        check = DataCheck(data, Moved.parse([given], project))
        assert check.out_of_reach(root) == ["data/a"]
        assert check.relink(root) == ["data"]
        assert (check.out_of_reach(root), check.changed(root), check.unknown()) == ([], [], [])
        assert check.outside_project(root) == [] or place_data(root, check.outside_project(root)) == []
        assert (root / "data" / "a").read_text() == "1"


def test_a_path_that_climbs_out_of_the_project_is_reached_where_the_command_names_it(tmp_path, old, root):
    project = tmp_path / "project"
    (tmp_path / "out").mkdir()
    data = recorded(tmp_path, project, old / "a", climbing=[str(old / "a")])
    data["items"][0]["from_root"] = "../gone/a"
    moved = Moved.parse([f"{old}={tmp_path}/old"], project)
    plan = replace(EMPTY, arguments=("--data=../old/a",), project=project)

    assert DataCheck(data, moved).out_of_reach(root) == ["../gone/a"]
    assert DataCheck(data, moved.applied(plan)[1]).out_of_reach(root) == []


def test_an_original_that_no_file_and_no_word_names_is_told(tmp_path, old):
    data = recorded(tmp_path, tmp_path / "project", old / "a")

    assert DataCheck(data, Moved.parse([f"/mistyped={tmp_path}"])).unknown() == ["/mistyped"]
    assert DataCheck(data, Moved.parse([f"{old}={tmp_path}"])).unknown() == []


# -- found again ---------------------------------------------------------------------------------------------------


def test_a_file_that_was_moved_is_found_and_the_next_command_named(tmp_path, old, root):
    data = recorded(tmp_path, tmp_path / "project", old / "a", old / "sub" / "b")
    fill(tmp_path, archive__deep__b="2", archive__b="?")
    (old / "sub" / "b").unlink()

    said = DataCheck(data).changed(root)

    place = tmp_path / "archive" / "deep" / "b"
    assert said == [f"{old}/sub/b (missing, moved to {place}: go on with --data {old}/sub/b={place})"]


def test_a_file_of_the_same_name_and_size_with_another_content_is_not_taken_for_it(tmp_path, old, root):
    data = recorded(tmp_path, tmp_path / "project", old / "a")
    fill(tmp_path, archive__a="2")
    (old / "a").unlink()

    assert DataCheck(data).changed(root) == [f"{old}/a (missing)"]


def test_a_file_is_looked_for_below_what_was_mapped_for_another(tmp_path, root):
    project = fill(tmp_path / "far" / "off" / "project", x="1")
    data = recorded(tmp_path, project, project / "x")
    new = fill(tmp_path / "new" / "place" / "deep", moved__x="1")
    (project / "x").unlink()

    check = DataCheck(data, Moved.parse([f"/other={new}"], project))

    assert check.changed(root) == [f"x (missing, moved to {new}/moved/x: go on with --data x={new}/moved/x)"]


def test_what_lies_in_the_restored_folder_is_not_taken_for_the_moved_file(tmp_path, root):
    project = fill(tmp_path / "project", data__x="1")
    data = recorded(tmp_path, project, project / "data" / "x")
    (project / "data" / "x").unlink()
    fill(root, copy__x="1")

    assert DataCheck(data).changed(root) == ["data/x (missing)"]
