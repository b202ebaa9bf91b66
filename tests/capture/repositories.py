"""Real repositories for the tests of code capture, and the two comparisons they all end in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "2024-05-01T12:00:00+0000",
    "GIT_COMMITTER_DATE": "2024-05-01T12:00:00+0000",
}


def git(where: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    """Run git as a user would and return what it prints."""
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, cwd=where, input=stdin, capture_output=True, env={**ENV, **(env or {})})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def new_repository(root: Path, *options: str) -> Path:
    """Make a repository with a package, a script and a .gitignore, all committed."""
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main", *options)
    (root / "train.py").write_text("import net.model\nprint('train')\n")
    (root / "net").mkdir()
    (root / "net" / "__init__.py").write_text("")
    (root / "net" / "model.py").write_text("WIDTH = 16\n" * 5)
    (root / "weights.bin").write_bytes(bytes(range(256)) * 4)
    (root / ".gitignore").write_text("*.log\nignored/\nlocal_*.py\n")
    commit(root, "first")
    return root


def commit(root: Path, message: str = "more") -> str:
    """Commit everything there is and return the commit."""
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


def every_byte(root: Path) -> dict[str, tuple[object, ...]]:
    """Return type, permissions, times and content of everything below `root`, `.git` included."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in _below(root):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        seen[os.fspath(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, content)
    return seen


def code_files(root: Path, without: tuple[str, ...] = ()) -> dict[str, tuple[str, bytes]]:
    """Return kind and content of the files below `root` that belong to no `.git` and are not in `without`."""
    seen: dict[str, tuple[str, bytes]] = {}
    for path in _below(root):
        name = os.fspath(path.relative_to(root))
        if ".git" in path.relative_to(root).parts or name.startswith(without or ("\0",)):
            continue
        if path.is_symlink():
            seen[name] = ("link", os.fsencode(os.readlink(path)))
        elif path.is_file():
            seen[name] = ("program" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return seen


def _below(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            yield Path(folder, name)
