"""Files of hub caches are known by repository and revision, from where they lie: caches made by hand, no network."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from tracker.capture.data import changed_files, digest_files
from tracker.capture.hub import how_to_get, hub_name, hub_of, places_here

COMMIT, OTHER = "a" * 40, "b" * 40


def fill_hub(cache, content=b"weights", commit=COMMIT, kind="models"):
    """A cache as huggingface_hub leaves it: blobs by digest, snapshots as links, a branch's commit."""
    place = cache / "hub" / f"{kind}--org--tiny-net"
    blob = place / "blobs" / hashlib.sha256(content).hexdigest()
    file = place / "snapshots" / commit / "onnx" / "model.bin"
    for folder in (blob.parent, file.parent, place / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    file.symlink_to(os.path.relpath(blob, file.parent))
    (place / "refs" / "main").write_text(commit)
    return file, blob


def test_a_file_of_a_snapshot_has_repository_and_commit(tmp_path):
    file, _ = fill_hub(tmp_path)
    dataset, _ = fill_hub(tmp_path, kind="datasets")

    assert hub_of(file) == {"kind": "model", "repo": "org/tiny-net", "revision": COMMIT, "file": "onnx/model.bin"}
    assert hub_of(dataset)["kind"] == "dataset"


def test_a_blob_that_was_opened_by_its_real_path_is_found_in_its_snapshot(tmp_path):
    file, blob = fill_hub(tmp_path)

    assert hub_of(blob) == hub_of(file)
    blob.with_name("f" * 64).write_bytes(b"of no snapshot")
    assert hub_of(blob.with_name("f" * 64)) is None


def test_a_branch_is_known_by_the_commit_it_stands_for_and_by_nothing_else(tmp_path):
    fill_hub(tmp_path)
    ref = tmp_path / "hub" / "models--org--tiny-net" / "refs" / "main"

    assert hub_of(ref) == {"kind": "model", "repo": "org/tiny-net", "revision": COMMIT, "ref": "main"}
    ref.write_text("no commit")
    assert hub_of(ref) is None


def test_a_prepared_dataset_has_its_configuration_and_state():
    path = Path("/cache/datasets/org___words/plain_text/0.0.0", COMMIT, "words-train.arrow")

    hub = hub_of(path)

    assert (hub["kind"], hub["repo"], hub["config"], hub["revision"]) == (
        "prepared dataset",
        "org/words",
        "plain_text",
        COMMIT,
    )


def test_a_checkpoint_of_torch_hub_is_verified_by_the_digest_in_its_name(tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / f"resnet18-{digest[:8]}.pth").write_bytes(b"weights")
    (folder / "alexnet-00000000.pth").write_bytes(b"weights")

    digest_files(sorted(folder.iterdir()), tmp_path / "out")
    wrong, right = [row["hub"] for row in json.loads((tmp_path / "out" / "data.json").read_text())["items"]]

    assert (right["repo"], right["revision"], right["verified"]) == ("resnet18", digest[:8], True)
    assert wrong["verified"] is False


def test_a_repository_of_torch_hub_is_told_from_a_folder_that_is_called_hub(tmp_path):
    name = "pytorch_vision_v0.10.0"
    (tmp_path / "hub").mkdir()

    assert hub_of(tmp_path / "hub" / name / "labels.txt") is None
    (tmp_path / "hub" / "trusted_list").touch()
    assert hub_of(tmp_path / "hub" / name / "labels.txt") == {
        "kind": "torch.hub repository",
        "repo": "pytorch/vision",
        "revision": "v0.10.0",
        "file": "labels.txt",
    }


@pytest.mark.parametrize("path", ["/data/train.csv", "/models/a/b.pt", "/x/models--org", "/", "/hub/a_b_c/x.csv"])
def test_any_other_file_is_of_no_hub(path):
    assert hub_of(Path(path)) is None


def test_two_caches_are_compared_by_repository_and_the_revisions_are_told(tmp_path):
    rows = {}
    for name, content, commit in (("a", b"1", COMMIT), ("b", b"1", COMMIT), ("c", b"2", OTHER)):
        file, _ = fill_hub(tmp_path / name, content, commit)
        digest_files([file], tmp_path / f"out-{name}")
        rows[name] = json.loads((tmp_path / f"out-{name}" / "data.json").read_text())["items"]

    assert changed_files(rows["a"], rows["b"]) == []
    assert changed_files(rows["a"], rows["c"]) == [
        "model org/tiny-net: onnx/model.bin (aaaaaaaaaaaa then, bbbbbbbbbbbb now)"
    ]


def test_the_place_in_another_machines_cache_follows_its_variables(tmp_path):
    file, _ = fill_hub(tmp_path / "face")
    hub = hub_of(file)

    assert file in places_here(hub, {"HF_HOME": str(tmp_path / "face")})
    assert places_here(hub, {"HF_HUB_CACHE": str(tmp_path / "face" / "hub")})[0] == file
    checkpoint = {"kind": "checkpoint", "repo": "r", "revision": "00000000", "file": "r-00000000.pth"}
    assert places_here(checkpoint, {"TORCH_HOME": "/t"}) == [Path("/t/hub/checkpoints/r-00000000.pth")]


def test_a_hostile_hub_leads_nowhere():
    for name in ("repo", "revision", "file"):
        hub = {"kind": "model", "repo": "a", "revision": "b", "file": "c", name: "../../etc/passwd"}
        assert places_here(hub, {}) == []
        assert places_here({**hub, name: "/etc/passwd"}, {}) == []
    assert hub_name(["no mapping"]) is None


def test_the_next_move_names_repository_and_revision():
    hub = {"kind": "dataset", "repo": "org/words", "revision": COMMIT, "file": "x.parquet"}

    assert how_to_get(hub) == f"hf download org/words --repo-type dataset --revision {COMMIT}"
    assert "resnet18-f37072fd.pth" in how_to_get(
        {"kind": "checkpoint", "revision": "f37072fd", "file": "resnet18-f37072fd.pth"}
    )
