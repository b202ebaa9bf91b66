"""The code of a run inside a git repository."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .born import made_since
from .bundle import (
    EXTRA_REF,
    SNAPSHOT_REF,
    read_blobs,
    total_size,
    write_bundle,
    write_commit,
    write_patch,
    write_tree,
)
from .captured import Captured, Gap
from .git import GitTrouble, PrivateStore, Repository, run_git
from .plainfiles import GITLINK, LISTING, bare_folders, file_mode, write_listing
from .secrets import find_secrets, redact, redact_url
from .snapshot import Budget, Entries, Nested, Snapshot, store_files, take_snapshot
from .withheld import Withheld, count_committed, withhold

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .code import CodeLimits, Place

_MEGABYTE = 1_000_000
_HASHED_BYTES = 64 * _MEGABYTE  # a left-out file above this size is named by its size alone: hashing takes too long
_READABLE_PATCH = 5 * _MEGABYTE
_LISTED = 200


def capture_repository(repo: Repository, place: Place, into: Path, limits: CodeLimits) -> Captured:
    """Store the state of `repo` below `into`; raises `GitTrouble` where git cannot read it."""
    with tempfile.TemporaryDirectory(prefix="soundrun-code-") as scratch:
        folder = Path(scratch) / "store"
        folder.mkdir()
        store = PrivateStore(folder, repo.object_format, limits.timeout_s)
        return _Capture(repo, store, place, into, limits).run()


class _Capture:
    def __init__(self, repo: Repository, store: PrivateStore, place: Place, into: Path, limits: CodeLimits) -> None:
        self.repo = repo
        self.store = store
        self.place = place
        self.into = into
        self.limits = limits
        self.captured = Captured()
        self.budget = Budget(
            int(limits.max_file_mb * _MEGABYTE), int(limits.max_total_mb * _MEGABYTE), limits.max_files
        )

    def run(self) -> Captured:
        place = self.place
        snapshot = take_snapshot(self.repo, self.store, self.budget, place.skip, place.began, set(place.loaded))
        changed = snapshot.changed()
        kept_out = withhold(self.store, snapshot.entries, snapshot.head, changed, snapshot.stores, self.into)
        extra, extra_out = self._imported_but_ignored(snapshot, kept_out)
        tree = write_tree(self.store, snapshot.entries)
        base = write_tree(self.store, snapshot.head) if snapshot.head != snapshot.entries else tree
        self.captured.facts.update(self._identity(snapshot, tree, base, changed))
        self._keep(snapshot, tree, extra)
        self._list({**snapshot.entries, **extra})
        self._write_patches(snapshot, base, tree)
        self._tell_of_nested(snapshot, tree)
        self._tell_of_pointers(snapshot)
        self._tell_of_left_out(snapshot, [*kept_out, *extra_out])
        unchanged = sorted(snapshot.entries.keys() - set(changed))
        secret, looked = count_committed(self.repo.root, unchanged)
        self.captured.facts |= {"secrets_in_committed": secret, "committed_files_scanned": looked}
        return self.captured

    def _gap(self, what: str, fix: str, *, blocking: bool = True) -> None:
        self.captured.gaps.append(Gap("code", what, fix, blocking))

    def _identity(self, snapshot: Snapshot, tree: str, base: str, changed: Sequence[bytes]) -> dict[str, Json]:
        place, root = self.place, self.repo.root
        entry, cwd = place.relative(place.script, root), place.relative(place.cwd, root)
        if place.script is not None and entry is None:
            self._gap("the script lies outside of the repository", "Keep the script in the repository it belongs to.")
        url = self.repo.remote_url()
        return {
            "kind": "git",
            "root": os.fspath(root),
            "commit": self.repo.commit,
            "branch": self.repo.branch,
            "remote": redact_url(url) if url else None,
            "base_on_remote": self._is_on_remote(),
            "shallow": self.repo.is_shallow,
            "dirty": bool(changed),
            "changed": [_text(path) for path in changed[:_LISTED]],
            "changed_files": len(changed),
            "tree": tree,
            "base_tree": base,
            "object_format": self.repo.object_format,
            "entry": entry,
            "cwd": cwd,
            "links": {_text(path): oid for path, (mode, oid) in snapshot.entries.items() if mode == GITLINK},
        }

    def _is_on_remote(self) -> bool:
        if self.repo.commit is None:
            return False
        return not self._ask("rev-list", "-n", "1", self.repo.commit, "--not", "--remotes").strip()

    def _ask(self, *arguments: str) -> bytes:
        return run_git(*arguments, where=self.repo.root, timeout=self.limits.timeout_s)

    def _imported_but_ignored(self, snapshot: Snapshot, kept_out: list[Withheld]) -> tuple[Entries, list[Withheld]]:
        """Store what the run imported and git ignores; return its entries, and what of it shows a secret."""
        known = snapshot.entries.keys() | {w.path for w in kept_out} | {path for path, _ in snapshot.oversized}
        known |= set(snapshot.unreadable) | set(snapshot.sealed)
        wanted: list[tuple[bytes, str]] = []
        outside: list[dict[str, Json]] = []
        for file in self.place.loaded:
            mode = file_mode(file)
            relative = self.place.relative(file, self.repo.root.resolve())
            if mode is None or self.place.skip(file):
                continue
            if relative is None:
                outside.append({"path": os.fspath(file), "sha256": _sha256(file)})
            elif os.fsencode(relative) not in known:
                size = file.stat().st_size
                if self.budget.takes(size):
                    wanted.append((os.fsencode(relative), mode))
                else:
                    snapshot.oversized.append((os.fsencode(relative), size))
        entries = store_files(self.store, os.fsencode(self.repo.root), wanted)
        shown = withhold(self.store, entries, {}, sorted(entries), [], self.into, first=len(kept_out))
        self.captured.facts["outside"] = [*outside[:_LISTED]]
        if outside:
            self._gap(
                f"{len(outside)} imported file(s) lie outside of the repository, the first is {outside[0]['path']}",
                "Move them into the repository, or install them as a package.",
            )
        return entries, shown

    def _keep(self, snapshot: Snapshot, tree: str, extra: Entries) -> None:
        """Write the bundle: the whole tree where it is small enough, else what the newest published commit lacks."""
        facts = self.captured.facts
        size = total_size(self.store, snapshot.entries.values(), snapshot.stores)
        base = self._published() if size > self.limits.max_total_mb * _MEGABYTE else None
        write_commit(self.store, tree, SNAPSHOT_REF, [base] if base else [])
        refs = [SNAPSHOT_REF]
        if extra:
            extra_tree = write_tree(self.store, extra)
            write_commit(self.store, extra_tree, EXTRA_REF)
            refs.append(EXTRA_REF)
            facts["ignored_tree"] = extra_tree
        facts["ignored"] = [
            {"path": _text(path), "sha256": _sha256(self.repo.root / os.fsdecode(path))} for path in sorted(extra)
        ]
        target = self.into / "code.bundle"
        write_bundle(self.store, target, refs, snapshot.stores, without=base)
        self.captured.files.append(target)
        facts |= {"tree_bytes": size, "bundle_bytes": target.stat().st_size, "needs": base}
        if base is None:
            return
        limit = f"the tree has {size / _MEGABYTE:.0f} MB, more than capture.max_total_mb = {self.limits.max_total_mb:g}"
        if self._is_published(base):
            self._gap(
                f"the bundle holds only what commit {base[:12]} lacks, because {limit}",
                f"Nothing, as long as {facts['remote']} keeps that commit.",
                blocking=False,
            )
        else:
            self._gap(
                f"the bundle holds only what commit {base[:12]} lacks, and that commit is on no remote: {limit}",
                "Push the commit before the run, or raise capture.max_total_mb.",
            )

    def _list(self, entries: Entries) -> None:
        """Name what is stored, and the folders a restore shall make although nothing in them is stored."""
        write_listing(self.into / LISTING, entries)
        self.captured.files.append(self.into / LISTING)
        is_made = made_since(self.place.began)
        skip = self.place.skip
        self.captured.facts["folders"] = [
            *bare_folders(self.repo.root, entries, lambda path: skip(path) or is_made(path))
        ]

    def _published(self) -> str | None:
        """Return the newest ancestor of the commit that a remote has, the commit itself where none has any."""
        if self.repo.commit is None or self.captured.facts["base_on_remote"]:
            return self.repo.commit
        rows = self._ask("rev-list", "--boundary", self.repo.commit, "--not", "--remotes").decode().split()
        return next((row[1:] for row in rows if row.startswith("-")), self.repo.commit)

    def _is_published(self, commit: str) -> bool:
        return not self._ask("rev-list", "-n", "1", commit, "--not", "--remotes").strip()

    def _write_patches(self, snapshot: Snapshot, base: str, tree: str) -> None:
        if base == tree:
            return
        readable = write_patch(self.store, base, tree, snapshot.stores, binary=False).decode("utf-8", "replace")
        if len(readable) > _READABLE_PATCH:
            readable = readable[:_READABLE_PATCH] + "\n... (cut here; the bundle holds everything)\n"
        target = self.into / "changes.patch.txt"
        target.write_text(redact(readable), encoding="utf-8")
        self.captured.files.append(target)
        whole = write_patch(self.store, base, tree, snapshot.stores, binary=True)
        if find_secrets(whole.decode("utf-8", "replace")):
            # Lines around a change, and lines taken out, may show what was committed once.
            self.captured.facts["patch"] = "withheld: it shows a secret; see changes.patch.txt"
            return
        (self.into / "changes.patch").write_bytes(whole)
        self.captured.files.append(self.into / "changes.patch")

    def _tell_of_nested(self, snapshot: Snapshot, tree: str) -> None:
        trees = self._trees_of([nested.path for nested in snapshot.nested], tree)
        urls = self._submodule_urls() if any(nested.is_submodule for nested in snapshot.nested) else {}
        for name, wanted in (("submodules", True), ("embedded", False)):
            self.captured.facts[name] = [
                {
                    "path": _text(nested.path),
                    "commit": nested.commit,
                    "recorded": nested.recorded,
                    "tree": trees.get(nested.path),
                    "url": urls.get(_text(nested.path)),
                    "present": nested.is_present,
                }
                for nested in snapshot.nested
                if nested.is_submodule == wanted
            ]
        for nested in snapshot.nested:
            if nested.trouble:
                self._gap(_nested_trouble(nested), "Repair it ('git submodule update --init'), or remove it.")

    def _trees_of(self, paths: Iterable[bytes], tree: str) -> dict[bytes, str]:
        wanted = [os.fsdecode(path) for path in paths]
        if not wanted:
            return {}
        rows = self.store.git("ls-tree", "-z", "-d", tree, "--", *wanted)
        found = {}
        for row in filter(None, rows.split(b"\0")):
            about, path = row.split(b"\t", 1)
            if b" tree " in about:
                found[path] = about.split()[2].decode()
        return found

    def _submodule_urls(self) -> dict[str, str]:
        try:
            rows = self._ask("config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$")
        except GitTrouble:
            return {}
        values = dict(row.partition("\n")[::2] for row in os.fsdecode(rows).split("\0") if row)
        return {
            path: redact_url(values.get(key.removesuffix(".path") + ".url", ""))
            for key, path in values.items()
            if key.endswith(".path")
        }

    def _tell_of_pointers(self, snapshot: Snapshot) -> None:
        oids: dict[str, list[bytes]] = {}  # equal files have equal pointers
        for path in snapshot.pointers:
            if path in snapshot.entries:
                oids.setdefault(snapshot.entries[path][1], []).append(path)
        rows: list[Json] = []
        stale = []
        for oid, content in read_blobs(self.store, oids, snapshot.stores):
            words = dict(line.split(" ", 1) for line in content.decode("ascii", "replace").splitlines() if " " in line)
            size = int(words["size"]) if words.get("size", "").isdigit() else None
            rows += [{"path": _text(path), "oid": words.get("oid"), "size": size} for path in oids[oid]]
            stale += [path for path in oids[oid] if (self.repo.root / os.fsdecode(path)).stat().st_size != size]
        self.captured.facts["lfs"] = rows
        if rows:
            self._gap(
                f"{len(rows)} git-lfs file(s) are stored as pointers: {_some(snapshot.pointers)}",
                "Push them to the lfs store; after a restore, 'git lfs pull' brings them.",
                blocking=False,  # of those that the run reads the data tells, and stores the small ones
            )
        if stale:
            self._gap(
                f"git-lfs file(s) were changed and not committed: {_some(stale)}",
                "Commit them before the run.",
                blocking=False,
            )

    def _tell_of_left_out(self, snapshot: Snapshot, kept_out: Sequence[Withheld]) -> None:
        facts = self.captured.facts
        facts["skipped"] = [
            {"path": _text(path), "size": size, "sha256": self._small_hash(path, size)}
            for path, size in snapshot.oversized[:_LISTED]
        ]
        facts["made"] = [_text(path) for path in snapshot.made[:_LISTED]]
        facts["late"] = [_text(path) for path in snapshot.late[:_LISTED]]
        facts["unreadable"] = [_text(path) for path in snapshot.unreadable]
        facts["sealed"] = [_text(path) for path in snapshot.sealed]
        facts["withheld"] = [{"path": _text(w.path), "kinds": [*w.kinds], "redacted": w.twin} for w in kept_out]
        self.captured.files += [self.into / withheld.twin for withheld in kept_out]
        for withheld in kept_out:
            self._gap(
                f"secret in {_text(withheld.path)} ({', '.join(withheld.kinds)}): the file was not stored",
                "Read the secret from an environment variable, or from a file that git ignores and no code imports.",
            )
        if snapshot.oversized:
            total = sum(size for _, size in snapshot.oversized) / _MEGABYTE
            paths = [path for path, _ in snapshot.oversized]
            self._gap(
                f"{len(paths)} uncommitted file(s) of {total:.1f} MB together were not stored: {_some(paths)}",
                "Ignore them (.gitignore) if they are no code, commit them, or raise capture.max_file_mb.",
            )
        if snapshot.unreadable:
            self._gap(f"file(s) cannot be read: {_some(snapshot.unreadable)}", "Make them readable (chmod u+r).")
        if snapshot.sealed:
            self._gap(
                f"file(s) that git encrypts were kept in their committed form: {_some(snapshot.sealed)}",
                "Unlock the repository after a restore.",
            )

    def _small_hash(self, path: bytes, size: int) -> str | None:
        return _sha256(self.repo.root / os.fsdecode(path)) if size <= _HASHED_BYTES else None


def _nested_trouble(nested: Nested) -> str:
    kind = "submodule" if nested.is_submodule else "repository"
    return f"the {kind} in {_text(nested.path)} could not be captured: {redact(nested.trouble or '')}"


def _sha256(path: Path) -> str | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _text(path: bytes) -> str:
    """Return a path as text that names the same file again through `os.fsencode`."""
    return os.fsdecode(path)


def _some(paths: Sequence[bytes]) -> str:
    """Name the first three of `paths` for a sentence, and how many more there are."""
    named = ", ".join(path.decode("utf-8", "replace") for path in paths[:3])
    return named if len(paths) <= 3 else f"{named} and {len(paths) - 3} more"
