"""Runs git's plumbing through GitPython, and reads what a repository says of itself without touching it.

Bytes come back as git printed them. The user's `GIT_*` variables, hooks, filters and pagers have no say here, no
command may ask for a password, and each ends after a time limit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where the user keeps the settings (safe.directory in a container) and the reach of the search for a repository.
_KEPT = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH", "GIT_SSH")

_ALWAYS = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "LC_ALL": "C",
}

RAW_ATTRIBUTES = "* -text !eol -ident -filter !working-tree-encoding !diff !merge\n"
"""As `info/attributes`, this switches off every conversion between a file and its blob: its bytes are kept."""


class GitMissing(RuntimeError):
    """There is no git program here, or GitPython cannot be imported."""


class GitTrouble(RuntimeError):
    """Git refused or failed; the message is git's own."""


def run_git(
    *arguments: str | os.PathLike[str],
    where: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = 60.0,
    private: bool = False,
) -> bytes:
    """Return what `git -C where arguments` prints, byte for byte.

    `private` hides the user's and the system's configuration. Raises `GitMissing` where there is no git, and
    `GitTrouble` with git's message where it fails or takes longer than `timeout` seconds.
    """
    Git, failures = _gitpython()
    command, settings = _command(arguments, where, env, private)
    try:
        with tempfile.TemporaryFile() as feed:
            feed.write(stdin)
            feed.seek(0)
            status, output, trouble = Git().execute(
                command,
                istream=feed,
                env=settings,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=timeout,
            )
    except failures.GitCommandNotFound as error:
        raise GitMissing("the git program has gone") from error
    except failures.GitCommandError as error:
        raise GitTrouble(str(error)) from error
    if status:
        raise GitTrouble(trouble.strip() or f"git {arguments[0]} ended with status {status}")
    return bytes(output)


def read_git(*arguments: str | os.PathLike[str], where: Path, most: int) -> bytes | None:
    """Return what `git -C where arguments` prints, None where that is more than `most` bytes: it is ended then.

    The user's and the system's configuration are hidden. Raises as `run_git` does.
    """
    Git, failures = _gitpython()
    command, settings = _command(arguments, where, None, True)
    try:
        with tempfile.TemporaryFile() as nothing:
            process = Git().execute(command, istream=nothing, env=settings, as_process=True)
    except failures.GitCommandNotFound as error:
        raise GitMissing("the git program has gone") from error
    output = process.stdout.read(most + 1)
    if len(output) > most:
        process.proc.kill()
        process.proc.communicate()
        return None
    _, trouble = process.proc.communicate()
    if process.proc.returncode:
        said = trouble.decode("utf-8", "replace").strip()
        raise GitTrouble(said or f"git {arguments[0]} ended with status {process.proc.returncode}")
    return bytes(output)


def _gitpython() -> tuple[Any, Any]:
    """Return GitPython's class for git, and the module of its errors; raises `GitMissing`."""
    try:
        from git import Git, exc
    except ImportError as error:  # GitPython raises ImportError where it finds no git program
        raise GitMissing(f"GitPython found no git program: {str(error).splitlines()[0]}") from error
    return Git, exc


def _command(
    arguments: Sequence[str | os.PathLike[str]], where: Path | None, env: Mapping[str, str] | None, private: bool
) -> tuple[list[str], dict[str, str]]:
    """Return the words of a git command, and the variables to set for it."""
    Git, _ = _gitpython()
    dropped = [n for n in os.environ if n.startswith("GIT_") and (private or not n.startswith(_KEPT))]
    settings = {**_ALWAYS, **(env or {})}
    if private:
        settings |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    unset = [word for name in dropped if name not in settings for word in ("-u", name)]
    place = ["-C", os.fspath(where)] if where is not None else []
    command = [*(["env", *unset] if unset else []), Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *place]
    command += [
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=" + os.devnull,
        *(os.fspath(one) for one in arguments),
    ]
    return command, settings


@dataclass(frozen=True)
class Repository:
    """A repository as it stands: its folders, its head and its settings. Nothing here was changed to learn them."""

    root: Path
    git_dir: Path
    common_dir: Path
    object_format: str
    is_shallow: bool
    commit: str | None
    """None as long as there is no commit."""
    head_tree: str | None
    branch: str | None
    """None on a detached head."""
    settings: Mapping[str, str]
    """Every setting that is in force here, keys in lower case as git lists them, the last value of each."""

    @property
    def objects(self) -> Path:
        """The folder of its object store, shared by all its worktrees."""
        return self.common_dir / "objects"

    def setting(self, name: str, default: str) -> str:
        """Return the value of `name` (in lower case) or `default`; a name without a value reads `true`."""
        return self.settings.get(name, default)

    def remote_url(self) -> str | None:
        """Return the address of the branch's remote, of `origin`, or of the only remote there is."""
        addresses = {k[7:-4]: v for k, v in self.settings.items() if k.startswith("remote.") and k.endswith(".url")}
        own = self.settings.get(f"branch.{self.branch}.remote", "origin")
        return addresses.get(own) or addresses.get("origin") or next(iter(addresses.values()), None)


def read_repository(start: Path, timeout: float = 60.0) -> Repository | None:
    """Return the repository that `start` lies in, None where there is none.

    Raises `GitTrouble` where there is one that git cannot or will not read, `GitMissing` where there is no git.
    """

    def ask(*arguments: str) -> bytes:
        return run_git(*arguments, where=start, timeout=timeout)

    try:
        answer = ask("rev-parse", "--show-object-format", "--is-shallow-repository", "--git-dir", "--git-common-dir")
        top = os.fsdecode(ask("rev-parse", "--show-toplevel").removesuffix(b"\n"))
    except GitTrouble as trouble:
        if "not a git repository" in str(trouble) and not _has_dot_git(start):
            return None
        raise
    object_format, shallow, git_dir, common_dir = os.fsdecode(answer).split("\n", 3)
    commit, tree = _head(start, timeout)
    try:
        branch: str | None = os.fsdecode(ask("symbolic-ref", "-q", "--short", "HEAD")).strip()
    except GitTrouble:
        branch = None
    settings: dict[str, str] = {}
    for item in os.fsdecode(ask("config", "--list", "-z")).split("\0"):
        key, has_value, value = item.partition("\n")
        if key:
            settings[key] = value if has_value else "true"
    return Repository(
        root=Path(top),
        git_dir=(start / git_dir).resolve(),
        common_dir=(start / common_dir.removesuffix("\n")).resolve(),
        object_format=object_format,
        is_shallow=shallow == "true",
        commit=commit,
        head_tree=tree,
        branch=branch,
        settings=settings,
    )


def _has_dot_git(start: Path) -> bool:
    return any(os.path.lexists(folder / ".git") for folder in (start, *start.resolve().parents))


def _head(start: Path, timeout: float) -> tuple[str | None, str | None]:
    try:
        answer = run_git("rev-parse", "HEAD^{commit}", "HEAD^{tree}", where=start, timeout=timeout)
    except GitTrouble as trouble:
        try:
            run_git("rev-parse", "-q", "--verify", "HEAD", where=start, timeout=timeout)
        except GitTrouble:
            return None, None  # no commit yet
        raise GitTrouble(f"the commit that HEAD names cannot be read: {trouble}") from trouble
    commit, tree = answer.decode().split()
    return commit, tree


class PrivateStore:
    """A bare repository of our own in a scratch folder: all that is written goes here, the user's is only read."""

    def __init__(self, folder: Path, object_format: str, timeout: float) -> None:
        """Make it below `folder`, which must exist and be empty."""
        self.folder = folder
        self.timeout = timeout
        for name in ("objects/pack", "refs/heads", "info"):
            (folder / name).mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/snapshot\n")
        version = "repositoryformatversion = 1" if object_format != "sha1" else "repositoryformatversion = 0"
        extension = f"[extensions]\n\tobjectformat = {object_format}\n" if object_format != "sha1" else ""
        (folder / "config").write_text(
            f"[core]\n\t{version}\n\tbare = true\n\tautocrlf = false\n\tuntrackedCache = false\n\tsplitIndex = false\n"
            f"\tcompression = 1\n[gc]\n\tauto = 0\n[pack]\n\tthreads = 1\n\twindow = 0\n{extension}"
        )

    def git(
        self,
        *arguments: str | os.PathLike[str],
        stdin: bytes = b"",
        index: Path | None = None,
        work_tree: Path | None = None,
        borrow: Iterable[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return what git prints for `arguments` in this store.

        `borrow` are object folders to read from. Commands that write objects must not borrow: git would renew the
        times of equal objects there, which are the user's.
        """
        settings = {"GIT_DIR": os.fspath(self.folder), **(env or {})}
        if index is not None:
            settings["GIT_INDEX_FILE"] = os.fspath(index)
        if work_tree is not None:
            settings["GIT_WORK_TREE"] = os.fspath(work_tree)
        folders = ":".join(_quoted(os.fspath(folder)) for folder in borrow)
        if folders:
            settings["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = folders
        where = work_tree or self.folder
        return run_git(*arguments, where=where, env=settings, stdin=stdin, timeout=self.timeout, private=True)


def _quoted(path: str) -> str:
    """Quote an object folder whose name would be taken for two: the list is separated by colons."""
    if ":" not in path and not path.startswith('"'):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
