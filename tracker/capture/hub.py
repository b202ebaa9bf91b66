"""Files of a model or data hub's local cache: which repository and which revision they are, by where they lie.

Nothing of the hub libraries is imported and no network is asked: their caches name the revision in the path. The
layouts are those of `huggingface_hub` (`models--org--name/snapshots/<commit>/file`), of `datasets`
(`org___name/config/version/<hash>/file.arrow`) and of `torch.hub` (`checkpoints/name-<sha256 prefix>.pth`,
`owner_repository_ref/file`). timm, transformers and torchvision keep theirs in one of these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..rules.engine.records import Json

_REPOSITORY = re.compile(r"(model|dataset|space)s--(.+)\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_VERSION = re.compile(r"\d+\.\d+\.\d+\Z")
_CHECKPOINT = re.compile(r"(?P<name>.+)-(?P<sha>[0-9a-f]{8,64})\.[A-Za-z0-9]+\Z")
_MOST_SNAPSHOTS = 50
_MOST_REF_BYTES = 200


def hub_of(path: Path, sha256: str | None = None) -> dict[str, Json] | None:
    """`{"kind", "repo", "revision", "file"}` of a file in a hub's cache; None for any other file.

    `kind` is `model`, `dataset` or `space` (a repository of the hub at a commit), `prepared dataset` (made by the
    datasets library from its source), `checkpoint` or `torch.hub repository`. A file that says what a branch is, such
    as `refs/main`, has `ref` in place of `file`. For a checkpoint `verified` says whether its name's digest is that of
    its content, `sha256` in hex; None where that is not known.
    """
    parts = path.parts
    for number in range(len(parts) - 1, 0, -1):
        found = _REPOSITORY.match(parts[number])
        if found:
            return _of_repository(Path(*parts[: number + 1]), found[1], found[2].replace("--", "/"), path)
    return _prepared(parts) or _of_torch_hub(parts, sha256)


def _of_repository(place: Path, kind: str, repo: str, path: Path) -> dict[str, Json] | None:
    below = path.relative_to(place).parts
    if len(below) > 2 and below[0] == "snapshots":
        return {"kind": kind, "repo": repo, "revision": below[1], "file": "/".join(below[2:])}
    if len(below) > 1 and below[0] == "refs":
        revision = _read_ref(path)
        return {"kind": kind, "repo": repo, "revision": revision, "ref": "/".join(below[1:])} if revision else None
    if len(below) == 2 and below[0] == "blobs":
        named = _snapshot_of(place, path)
        return {"kind": kind, "repo": repo, "revision": named[0], "file": named[1]} if named else None
    return None


def _read_ref(path: Path) -> str | None:
    try:
        with path.open(encoding="ascii") as file:
            revision = file.read(_MOST_REF_BYTES).strip()
    except (OSError, ValueError):
        return None
    return revision if _COMMIT.match(revision) else None


def _snapshot_of(place: Path, blob: Path) -> tuple[str, str] | None:
    """Commit and name of a blob that was opened by its real path."""
    try:
        snapshots = sorted((place / "snapshots").iterdir())[:_MOST_SNAPSHOTS]
        for snapshot in snapshots:
            for folder, _, names in os.walk(snapshot):
                for name in names:
                    link = os.path.join(folder, name)
                    if os.path.islink(link) and os.path.basename(os.readlink(link)) == blob.name:
                        return snapshot.name, PurePath(os.path.relpath(link, snapshot)).as_posix()
    except OSError:
        return None
    return None


def _prepared(parts: tuple[str, ...]) -> dict[str, Json] | None:
    if len(parts) < 6 or not _COMMIT.match(parts[-2]) or not _VERSION.match(parts[-3]):
        return None
    return {
        "kind": "prepared dataset",
        "repo": parts[-5].replace("___", "/"),
        "revision": parts[-2],
        "file": parts[-1],
        "config": parts[-4],
        "version": parts[-3],
    }


def _of_torch_hub(parts: tuple[str, ...], sha256: str | None) -> dict[str, Json] | None:
    for number in range(len(parts) - 2, 0, -1):
        if parts[number] != "hub":
            continue
        if parts[number + 1] == "checkpoints":
            found = _CHECKPOINT.match(parts[-1])
            if found is None:
                return None
            verified = sha256.startswith(found["sha"]) if sha256 else None
            file = "/".join(parts[number + 2 :])
            return {
                "kind": "checkpoint", "repo": found["name"], "revision": found["sha"], "file": file,
                "verified": verified,
            }  # fmt: skip
        words = parts[number + 1].split("_")
        # torch.hub keeps this list beside what it has fetched; a folder of the user's may be called hub, too.
        is_cache = parts[number - 1] == "torch" or Path(*parts[: number + 1], "trusted_list").is_file()
        if is_cache and len(words) > 2 and len(parts) > number + 2:
            return {
                "kind": "torch.hub repository", "repo": f"{words[0]}/{'_'.join(words[1:-1])}", "revision": words[-1],
                "file": "/".join(parts[number + 2 :]),
            }  # fmt: skip
    return None


def hub_name(hub: object) -> str | None:
    """What identifies a hub's file wherever its cache lies, without the revision; None where `hub` is damaged."""
    if not isinstance(hub, Mapping) or not hub.get("repo") or not hub.get("kind"):
        return None
    file = hub.get("file") or f"refs/{hub.get('ref')}"
    config = f" {hub['config']}" if hub.get("config") else ""
    return f"{hub['kind']} {hub['repo']}{config}: {file}"


def how_to_get(hub: Mapping[str, Json]) -> str:
    """What brings a hub's file back, in the imperative."""
    kind, repo, revision = hub.get("kind"), hub.get("repo"), hub.get("revision")
    if kind == "checkpoint":
        return f"download the checkpoint {hub.get('file')} (its sha256 begins with {revision})"
    if kind == "torch.hub repository":
        return f"download it with torch.hub from {repo}:{revision}"
    if kind == "prepared dataset":
        return f"load the dataset {repo} once, at the state {str(revision)[:12]}"
    what = "" if kind == "model" else f" --repo-type {kind}"
    return f"hf download {repo}{what} --revision {revision}"


def places_here(hub: Mapping[str, Json], variables: Mapping[str, str]) -> list[Path]:
    """Where the file would lie in the caches of this machine, those that are set in `variables` first."""
    kind, repo = hub.get("kind"), hub.get("repo")
    file, revision = hub.get("file"), hub.get("revision")
    words = [str(word) for word in (repo, file, revision, hub.get("config") or "") if word is not None]
    if not isinstance(file, str) or any(".." in PurePath(word).parts or os.path.isabs(word) for word in words):
        return []
    home = Path(variables.get("HOME") or Path.home())
    cache = Path(variables.get("XDG_CACHE_HOME") or home / ".cache")
    face = Path(variables.get("HF_HOME") or cache / "huggingface")
    if kind in ("model", "dataset", "space"):
        hubs = [variables.get("HF_HUB_CACHE"), variables.get("HUGGINGFACE_HUB_CACHE"), face / "hub"]
        folder = f"{kind}s--{str(repo).replace('/', '--')}"
        return [Path(top) / folder / "snapshots" / str(revision) / file for top in hubs if top]
    if kind == "prepared dataset":
        tops = [variables.get("HF_DATASETS_CACHE"), face / "datasets"]
        inner = Path(str(repo).replace("/", "___"), str(hub.get("config")), str(hub.get("version")), str(revision))
        return [Path(top) / inner / file for top in tops if top]
    torch_hub = Path(variables.get("TORCH_HOME") or cache / "torch") / "hub"
    if kind == "checkpoint":
        return [torch_hub / "checkpoints" / file]
    if kind == "torch.hub repository":
        return [torch_hub / f"{str(repo).replace('/', '_')}_{revision}" / file]
    return []
