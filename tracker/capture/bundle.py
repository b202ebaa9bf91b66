"""What is kept of a snapshot: a git bundle that stands alone, and a patch for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .git import RAW_ATTRIBUTES, PrivateStore
from .plainfiles import GITLINK
from .snapshot import Entries

SNAPSHOT_REF, EXTRA_REF = "refs/heads/snapshot", "refs/heads/extra"
"""Branches of the bundle: the code as it lay there, and ignored files that the run imported."""

# The same tree gives the same commit, wherever and whenever it is made.
_AUTHOR = "soundrun <snapshot@localhost> 946684800 +0000"


def write_tree(store: PrivateStore, entries: Entries) -> str:
    """Write the tree of `entries` to `store` and return its id; the blobs need not be there."""
    index = store.folder / "tree-index"
    index.unlink(missing_ok=True)
    rows = b"".join(f"{mode} {oid}\t".encode() + path + b"\0" for path, (mode, oid) in sorted(entries.items()))
    store.git("update-index", "-z", "--index-info", stdin=rows, index=index)
    return store.git("write-tree", "--missing-ok", index=index).decode().strip()


def write_commit(store: PrivateStore, tree: str, ref: str, parents: Sequence[str] = ()) -> str:
    """Make a commit of `tree` with a fixed author and date, let `ref` name it, and return its id."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {_AUTHOR}", f"committer {_AUTHOR}"]
    content = "\n".join([*lines, "", "Snapshot of the code of a run", ""]).encode()
    # Not commit-tree: it wants to see the parent, and a store that borrows would touch the user's objects.
    commit = store.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=content)
    (store.folder / ref).write_bytes(commit)
    return commit.decode().strip()


def total_size(store: PrivateStore, entries: Iterable[tuple[str, str]], borrow: Sequence[Path]) -> int:
    """Return the bytes of all blobs among `entries` (mode, object id), each counted once, before compression."""
    oids = sorted({oid for mode, oid in entries if mode != GITLINK})
    feed = "".join(f"{oid}\n" for oid in oids).encode()
    rows = store.git("cat-file", "--batch-check=%(objectsize)", stdin=feed, borrow=borrow).decode().split("\n")
    return sum(int(row) for row in rows if row.isdigit())


def write_bundle(
    store: PrivateStore, target: Path, refs: Sequence[str], borrow: Sequence[Path], without: str | None = None
) -> None:
    """Write `refs` to the bundle file `target`; with `without`, leave out what that commit has already."""
    exclusion = [f"^{without}"] if without else []
    store.git("bundle", "create", "-q", target, *refs, *exclusion, borrow=borrow)


def write_patch(store: PrivateStore, before: str, after: str, borrow: Sequence[Path], *, binary: bool) -> bytes:
    """Return the difference of two trees in git's own form, whatever form the user's settings would give it."""
    (store.folder / "info" / "attributes").write_text(RAW_ATTRIBUTES)
    form = ["--binary", "--full-index"] if binary else []
    return store.git(
        "diff-tree", "-p", "-r", *form, "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
        "--src-prefix=a/", "--dst-prefix=b/", before, after, borrow=borrow,
    )  # fmt: skip


def read_blobs(store: PrivateStore, oids: Iterable[str], borrow: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield (object id, content) for each of `oids` that can be found."""
    feed = "".join(f"{oid}\n" for oid in oids).encode()
    if not feed:
        return
    output = store.git("cat-file", "--batch", stdin=feed, borrow=borrow)
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        words = output[position:end].decode().split()
        position = end + 1
        if len(words) == 3 and words[1] == "blob":
            size = int(words[2])
            yield words[0], output[position : position + size]
            position += size + 1
        elif len(words) == 3:
            position += int(words[2]) + 1
