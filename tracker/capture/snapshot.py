"""The state of a work tree as entries of one git tree: tracked, changed and new files, exactly as they lie on disk.

A submodule or an embedded repository becomes a plain folder of that tree, so that one tree id stands for everything.
The user's index is copied and its objects are only read; what is new is written to a store of our own.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .born import made_since
from .git import RAW_ATTRIBUTES, GitTrouble, PrivateStore, Repository, read_repository
from .plainfiles import EXECUTABLE, GITLINK, REGULAR, SYMLINK, blob_id

Entries = dict[bytes, tuple[str, str]]
"""Path below the root, with slashes -> (git mode, object id)."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_ENCRYPTING = ("crypt", "sops", "vault")


@dataclass
class Budget:
    """How much uncommitted content may still be stored; one budget for a project and all repositories in it."""

    file_bytes: int
    total_bytes: int
    files: int

    def takes(self, size: int) -> bool:
        """Return whether a file of `size` bytes still fits, and count it if so."""
        if size > self.file_bytes or size > self.total_bytes or self.files < 1:
            return False
        self.total_bytes -= size
        self.files -= 1
        return True


@dataclass(frozen=True)
class Nested:
    """A repository inside the project: a submodule, or one that git does not know of (`is_submodule` false)."""

    path: bytes
    is_submodule: bool
    commit: str | None
    recorded: str | None
    """The commit that the index of the outer repository names."""
    is_present: bool
    """False for a submodule that was never initialised: its folder is empty here and stays empty."""
    trouble: str | None = None


@dataclass
class Snapshot:
    """What a work tree holds, and what of it could not be taken."""

    entries: Entries = field(default_factory=dict)
    head: Entries = field(default_factory=dict)
    """The same for the committed state, with nested repositories at their own head commits."""
    stores: list[Path] = field(default_factory=list)
    """Object folders that hold what was committed already."""
    nested: list[Nested] = field(default_factory=list)
    oversized: list[tuple[bytes, int]] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    pointers: list[bytes] = field(default_factory=list)
    """Files kept by git-lfs whose content lies on disk: the tree has the pointer."""
    sealed: list[bytes] = field(default_factory=list)
    """Files that are encrypted on their way into git: the tree has the encrypted form."""
    made: list[bytes] = field(default_factory=list)
    """New files that the run has made itself by now: not in the tree."""
    late: list[bytes] = field(default_factory=list)
    """Files of the tree that were written after the run began: what they were before is not known."""
    same: set[bytes] = field(default_factory=set)
    """Paths that differ from the commit in form only: line ends, a sparse checkout."""

    def changed(self) -> list[bytes]:
        """Return the paths whose content, mode or presence differs from the commits, sorted."""
        paths = self.entries.keys() | self.head.keys()
        return sorted(p for p in paths if self.entries.get(p) != self.head.get(p) and p not in self.same)


def take_snapshot(
    repo: Repository,
    store: PrivateStore,
    budget: Budget,
    skip: Callable[[Path], bool],
    began: float | None = None,
    loaded: Container[Path] = (),
) -> Snapshot:
    """Return the state of `repo`, its submodules and embedded repositories, writing new blobs to `store`.

    `skip` tells which paths are not the user's code. New files made after `began`, in seconds since 1970, are left out
    unless they are among `loaded`. Raises `GitTrouble` where git cannot read the repository.
    """
    work = _WorkTree(repo, store, budget, skip, began, loaded)
    snapshot = work.take()
    for path, recorded in [*work.links.items(), *((path, None) for path in work.embedded)]:
        inner = _take_nested(work, path, recorded, snapshot)
        if inner is not None:
            _merge(snapshot, inner, path + b"/")
    return snapshot


def _take_nested(work: _WorkTree, path: bytes, recorded: str | None, snapshot: Snapshot) -> Snapshot | None:
    place = work.place(path)
    is_submodule = recorded is not None
    if not os.path.lexists(place / ".git"):
        if not place.is_dir():
            snapshot.entries.pop(path, None)
        elif any(place.iterdir()):
            snapshot.nested.append(Nested(path, is_submodule, None, recorded, True, "its folder is no repository"))
        else:
            snapshot.nested.append(Nested(path, is_submodule, None, recorded, False))
        return None
    try:
        repo = read_repository(place, work.store.timeout)
        if repo is None or repo.root.resolve() != place.resolve():
            raise GitTrouble("its .git is broken")
        if repo.object_format != work.repo.object_format:
            raise GitTrouble(f"its object format is {repo.object_format}, not {work.repo.object_format}")
        if not is_submodule and repo.common_dir == work.repo.common_dir:
            return None  # a second worktree of the same repository that happens to lie inside
        inner = take_snapshot(repo, work.store, work.budget, work.skip, work.began, work.loaded)
    except GitTrouble as trouble:
        snapshot.nested.append(Nested(path, is_submodule, None, recorded, True, str(trouble)))
        return None
    snapshot.nested.append(Nested(path, is_submodule, repo.commit, recorded, True))
    snapshot.entries.pop(path, None)
    if snapshot.head.get(path) == (GITLINK, repo.commit or ""):
        del snapshot.head[path]  # the commit checked out is the one recorded: no change of its own
    return inner


def _merge(outer: Snapshot, inner: Snapshot, prefix: bytes) -> None:
    outer.entries.update({prefix + path: entry for path, entry in inner.entries.items()})
    outer.head.update({prefix + path: entry for path, entry in inner.head.items()})
    outer.stores += inner.stores
    outer.nested += [Nested(prefix + n.path, *_rest(n)) for n in inner.nested]
    outer.oversized += [(prefix + path, size) for path, size in inner.oversized]
    outer.unreadable += [prefix + path for path in inner.unreadable]
    outer.pointers += [prefix + path for path in inner.pointers]
    outer.sealed += [prefix + path for path in inner.sealed]
    outer.made += [prefix + path for path in inner.made]
    outer.late += [prefix + path for path in inner.late]
    outer.same |= {prefix + path for path in inner.same}


def _rest(nested: Nested) -> tuple[bool, str | None, str | None, bool, str | None]:
    return nested.is_submodule, nested.commit, nested.recorded, nested.is_present, nested.trouble


class _WorkTree:
    """One repository while its state is taken."""

    def __init__(
        self,
        repo: Repository,
        store: PrivateStore,
        budget: Budget,
        skip: Callable[[Path], bool],
        began: float | None,
        loaded: Container[Path],
    ) -> None:
        self.repo = repo
        self.began = began
        self.loaded = loaded
        self.is_made = made_since(began)
        self.store = store
        self.budget = budget
        self.skip = skip
        self.top = os.fsencode(repo.root)
        self.links: dict[bytes, str] = {}
        self.embedded: list[bytes] = []
        self.index = self._copy_index()

    def place(self, path: bytes) -> Path:
        return Path(os.fsdecode(os.path.join(self.top, path)))

    def take(self) -> Snapshot:
        snapshot = Snapshot(stores=[self.repo.objects], head=self._head())
        flagged = self._read_index(snapshot)
        touched, new = self._list_changes()
        touched |= flagged
        converted, pointers, sealed = self._conversions([*snapshot.entries, *new])
        self._settle_kept(snapshot, touched, pointers, sealed & snapshot.entries.keys())
        skipped = {path for path in snapshot.entries.keys() & touched if self.skip(self.place(path))}
        kept = skipped | self.links.keys() | set(snapshot.pointers) | set(snapshot.sealed)
        self._store(snapshot, touched - kept, self.budget)
        # Unchanged for git, but converted: the bytes on disk count. They are as large as what is committed anyway.
        unbounded = Budget(self.budget.file_bytes, sys.maxsize, sys.maxsize)
        in_form = {path for path in converted - touched - kept if self._differs(path, snapshot.entries)}
        self._store(snapshot, in_form, unbounded)
        snapshot.same |= in_form
        snapshot.sealed += sorted((sealed - snapshot.entries.keys()) & set(new))
        found = [path for path in new if path not in sealed and not self.skip(self.place(path))]
        snapshot.made += sorted(path for path in found if self._is_result(self.place(path)))
        self._store(snapshot, set(found).difference(snapshot.made), self.budget)
        _drop_shadowed(snapshot.entries, new)
        self._forget_absent(snapshot)
        return snapshot

    def _is_result(self, place: Path) -> bool:
        """Return whether a new file was made by the run: since it began, and not as a module of it."""
        return self.is_made(place) and place.resolve() not in self.loaded

    def _forget_absent(self, snapshot: Snapshot) -> None:
        """Drop from the committed state what is not here by intent, and from both what was never fetched."""
        for path in snapshot.same - snapshot.entries.keys():
            snapshot.head.pop(path, None)
        if not any(key.endswith((".promisor", ".partialclone")) for key in self.repo.settings):
            return  # nothing can be missing but where git fetches objects when they are asked for
        both = (snapshot.entries, snapshot.head)
        oids = sorted({oid for entries in both for mode, oid in entries.values() if mode != GITLINK})
        feed = "".join(f"{oid}\n" for oid in oids).encode()
        rows = self.store.git("cat-file", "--batch-check", stdin=feed, borrow=[self.repo.objects]).decode().split("\n")
        missing = {row.split()[0] for row in rows if row.endswith(" missing")}
        for path in [path for path, (_, oid) in snapshot.head.items() if oid in missing]:
            del snapshot.head[path]
        lost = {path for path, (_, oid) in snapshot.entries.items() if oid in missing}
        for path in lost:
            del snapshot.entries[path]
        # What lies on disk all the same is stored from there, as large as it may be: it is committed.
        self._store(snapshot, lost, Budget(sys.maxsize, sys.maxsize, sys.maxsize))

    def _copy_index(self) -> Path:
        """Copy the index with its time, by which git tells which entries were changed after it was written."""
        index = self.store.folder / "index"
        for old in (index, *self.store.folder.glob("sharedindex.*")):
            old.unlink(missing_ok=True)
        for source in (self.repo.git_dir / "index", *self.repo.git_dir.glob("sharedindex.*")):
            if source.exists():
                shutil.copy2(source, self.store.folder / source.name)
        if self.repo.head_tree and index.is_file() and b"sdir" in index.read_bytes():
            # Git opens up the folders of a sparse index when it reads one, which needs their trees, and writes them.
            pack = self.store.git(
                "pack-objects", "-q", "--revs", "--filter=blob:none", "--stdout",
                stdin=self.repo.head_tree.encode() + b"\n", borrow=[self.repo.objects],
            )  # fmt: skip
            self.store.git("index-pack", "--stdin", stdin=pack)
        return index

    def _git(self, *arguments: str, stdin: bytes = b"", settings: Iterable[tuple[str, str]] = ()) -> bytes:
        options = [word for key, value in settings for word in ("-c", f"{key}={value}")]
        return self.store.git(*options, *arguments, stdin=stdin, index=self.index, work_tree=self.repo.root)

    def _settings(self) -> Iterator[tuple[str, str]]:
        for name in ("core.filemode", "core.symlinks", "core.ignorecase", "core.excludesfile", "core.attributesfile"):
            if name in self.repo.settings:
                yield name, self.repo.settings[name]

    def _head(self) -> Entries:
        if self.repo.head_tree is None:
            return {}
        rows = self.store.git("ls-tree", "-r", "-z", "--full-tree", self.repo.head_tree, borrow=[self.repo.objects])
        entries: Entries = {}
        for row in filter(None, rows.split(b"\0")):
            about, path = row.split(b"\t", 1)
            mode, _, oid = about.decode().split()
            # Very old commits have files of mode 100664, which git itself reads as 100644.
            entries[path] = (REGULAR if mode == "100664" else mode, oid)
        return entries

    def _read_index(self, snapshot: Snapshot) -> set[bytes]:
        """Fill in what the index has; return the paths whose files git was told not to look at, or that conflict."""
        flagged: set[bytes] = set()
        for row in filter(None, self._git("ls-files", "-z", "-s", "-v").split(b"\0")):
            about, path = row.split(b"\t", 1)
            tag, mode, oid, level = about.decode().split()
            snapshot.entries[path] = (mode, oid)
            if mode == GITLINK:
                self.links[path] = oid
            elif tag != "H" or level != "0":
                flagged.add(path)
                if tag in "Ss" and not os.path.lexists(self.place(path)):
                    snapshot.same.add(path)  # outside of a sparse checkout: missing by intent
        return flagged

    def _list_changes(self) -> tuple[set[bytes], list[bytes]]:
        """Return the tracked paths that may differ from the index, and the new ones; note embedded repositories."""
        info = self.store.folder / "info"
        (info / "attributes").write_text(RAW_ATTRIBUTES)
        exclude = self.repo.common_dir / "info" / "exclude"
        (info / "exclude").write_bytes(exclude.read_bytes() if exclude.is_file() else b"")
        rows = self._git("ls-files", "-z", "-t", "-m", "-d", "-o", "--exclude-standard", settings=self._settings())
        touched, new = set(), []
        for row in filter(None, rows.split(b"\0")):
            tag, path = row[:1], row[2:]
            if tag != b"?":
                touched.add(path)
            elif not path.endswith(b"/"):
                new.append(path)
            elif not self.skip(self.place(path)):
                self.embedded.append(path[:-1])
        return touched, new

    def _conversions(self, paths: list[bytes]) -> tuple[set[bytes], set[bytes], set[bytes]]:
        """Return which paths git would convert between disk and blob, which git-lfs keeps, which get encrypted."""
        own = self.repo.common_dir / "info" / "attributes"
        line_ends = self.repo.setting("core.autocrlf", "false").lower() in ("true", "input", "yes", "on", "1")
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "git" / "attributes"
        has_rules = "core.attributesfile" in self.repo.settings or own.is_file() or home.is_file()
        if not (line_ends or has_rules or any(os.path.basename(path) == b".gitattributes" for path in paths)):
            return set(), set(), set()
        (self.store.folder / "info" / "attributes").write_bytes(own.read_bytes() if own.is_file() else b"")
        names = ("text", "eol", "ident", "working-tree-encoding", "filter")
        feed = b"".join(path + b"\0" for path in paths)
        words = self._git("check-attr", "-z", "--stdin", *names, stdin=feed, settings=self._settings()).split(b"\0")
        values: dict[bytes, dict[str, str]] = {}
        for path, name, value in zip(words[0::3], words[1::3], words[2::3], strict=False):
            values.setdefault(path, {})[name.decode()] = os.fsdecode(value)
        converted, pointers, sealed = set(), set(), set()
        for path, rules in values.items():
            tool = rules["filter"]
            has_rule = any(rules[name] not in ("unspecified", "unset") for name in names)
            if tool == "lfs":
                pointers.add(path)
            elif any(word in tool for word in _ENCRYPTING):
                sealed.add(path)
            elif has_rule or (line_ends and rules["text"] != "unset"):
                converted.add(path)
        return converted, pointers, sealed

    def _settle_kept(self, snapshot: Snapshot, touched: set[bytes], pointers: set[bytes], sealed: set[bytes]) -> None:
        """Keep the committed form of files that git-lfs or an encrypting filter stands in front of."""
        for path in sorted(pointers & snapshot.entries.keys()):
            place = self.place(path)
            try:
                with place.open("rb") as file:
                    is_pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
            except OSError:
                continue
            if is_pointer:
                touched.add(path)  # the pointer itself lies on disk: an ordinary file
            else:
                snapshot.pointers.append(path)
        snapshot.sealed += sorted(path for path in sealed if os.path.lexists(self.place(path)))

    def _differs(self, path: bytes, entries: Entries) -> bool:
        mode, oid = entries.get(path, ("", ""))
        if mode not in (REGULAR, EXECUTABLE):
            return False
        try:
            return blob_id(self.place(path).read_bytes(), self.repo.object_format) != oid
        except OSError:
            return False

    def _store(self, snapshot: Snapshot, paths: Iterable[bytes], budget: Budget) -> None:
        """Write the files at `paths` to the store as they lie on disk, and enter them; missing ones leave the tree."""
        executable_counts = self.repo.setting("core.filemode", "true") != "false"
        todo: list[tuple[bytes, str, int]] = []
        for path in paths:
            try:
                status = os.lstat(self.place(path))
            except OSError:
                snapshot.entries.pop(path, None)
                continue
            if stat.S_ISLNK(status.st_mode):
                todo.append((path, SYMLINK, status.st_size))
            elif not stat.S_ISREG(status.st_mode):
                snapshot.entries.pop(path, None)
            elif not _opens(self.place(path)):
                snapshot.unreadable.append(path)
            else:
                mode = EXECUTABLE if status.st_mode & stat.S_IXUSR else REGULAR
                if not executable_counts:
                    mode = snapshot.entries.get(path, (REGULAR, ""))[0]
                todo.append((path, mode, status.st_size))
            if self.began is not None and status.st_mtime > self.began:
                snapshot.late.append(path)
        # Small ones first, so that one large file does not cost many small ones their place.
        kept = []
        for path, mode, size in sorted(todo, key=lambda item: (item[2], item[0])):
            if budget.takes(size):
                kept.append((path, mode))
            else:
                snapshot.oversized.append((path, size))
        snapshot.entries.update(store_files(self.store, self.top, kept))


def _opens(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def store_files(store: PrivateStore, top: bytes, files: Iterable[tuple[bytes, str]]) -> Entries:
    """Write `files` (path below `top`, mode) to `store` as blobs without any conversion; return their entries."""
    entries: Entries = {}
    names: list[bytes] = []
    order: list[tuple[bytes, str]] = []
    links = store.folder / "links"
    for number, (path, mode) in enumerate(files):
        source = os.path.join(top, path)
        if mode == SYMLINK:
            links.mkdir(exist_ok=True)
            target = links / str(number)
            target.write_bytes(os.readlink(source))
            source = os.fsencode(target)
        names.append(_quote_line(source))
        order.append((path, mode))
    if names:
        answer = store.git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=b"\n".join(names) + b"\n")
        for (path, mode), oid in zip(order, answer.decode().split(), strict=True):
            entries[path] = (mode, oid)
    shutil.rmtree(links, ignore_errors=True)
    return entries


def _quote_line(path: bytes) -> bytes:
    """Quote a path as git reads it from a line: only names with a quote, a backslash or a control character need it."""
    if not any(byte < 32 or byte in b'"\\' for byte in path):
        return path
    quoted = b"".join(b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes([byte]) for byte in path)
    return b'"' + quoted + b'"'


def _drop_shadowed(entries: Entries, new: Iterable[bytes]) -> None:
    """Where a new file or link took the place of a folder, drop what the index still has below that folder."""
    folders = {path[:cut] for path in entries for cut in range(len(path)) if path[cut : cut + 1] == b"/"}
    for taken in {path for path in new if path in entries} & folders:
        for path in [path for path in entries if path.startswith(taken + b"/")]:
            del entries[path]
