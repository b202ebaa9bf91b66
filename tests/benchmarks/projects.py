"""Projects of every kind that people train from, dirty in every way, built around one script.

Each kind is a function that fills a fresh folder. The script reads a number, `KNOB`, out of what makes its kind: from
the new module, the edited submodule, the configuration that git ignores. It is `OLD` in what git would give back and
`NEW` on disk, and draws that many random numbers first: a restore that misses it makes another training.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.unseeded import with_beginning
from tests.capture.repositories import git

OLD, NEW = 3, 7
IMPORTED = "from settings import KNOB"
USED = """
import sys
{get}
import torch
torch.rand(KNOB)
sys.argv[1:] = ["--seed", str(KNOB)]
"""
"""The beginning of each script: draws as many numbers as the number says, and takes it for its seed."""


@dataclass
class Project:
    """One project while it is built, and how its script is started."""

    place: Path
    """Holds the project and all that belongs to it, such as its remote; it is moved away as a whole."""
    source: str
    user: Path
    """The home folder, for settings of git that are the user's."""
    root: Path = field(init=False)
    cwd: Path = field(init=False)
    command: tuple[str, ...] = ("train.py",)
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment, when the script is started."""
    beginning: str = USED
    """Of the script; learns the number by what stands for `{get}`."""

    def __post_init__(self) -> None:
        self.root = self.cwd = self.place / "project"

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())
        return path

    def script(self, get: str = IMPORTED, name: str = "train.py") -> None:
        """Write the script, which learns its number by `get`."""
        self.write(name, with_beginning(self.source, self.beginning.format(get=textwrap.dedent(get).strip())))

    def knob(self, number: int, name: str = "settings.py") -> None:
        """Write the module that holds the number."""
        self.write(name, f"KNOB = {number}\n")

    def git(self, *arguments: str) -> str:
        """Run git in the project."""
        return git(self.root, *arguments)

    def start(self, *options: str) -> None:
        """Make the repository."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *options)

    def commit(self) -> None:
        """Commit everything there is."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "more")

    def committed(self, number: int = OLD, get: str = IMPORTED, **files: str | bytes) -> None:
        """Make a repository with the script and its module, and `files` (`__` for a slash), all committed."""
        self.start()
        self.script(get)
        self.knob(number)
        self.write("README.md", "A project.\n")
        self.write(".gitignore", "__pycache__/\nlocal/\nlocal_*\n*.log\n")
        for name, content in files.items():
            self.write(".".join(name.replace("__", "/").rsplit("_", 1)), content)
        self.commit()

    def push(self) -> Path:
        """Give the project a remote that has what is committed, and return its folder."""
        remote = self.place / "remote.git"
        git(self.place, "clone", "-q", "--bare", str(self.root), "remote.git")
        self.git("remote", "add", "origin", str(remote))
        self.git("fetch", "-q", "origin")
        return remote


KINDS: dict[str, Callable[[Project], None]] = {}
"""Name -> what is done to a fresh folder."""


def kind(build: Callable[[Project], None]) -> Callable[[Project], None]:
    KINDS[build.__name__.replace("_", "-")] = build
    return build


# -- where the commit is -----------------------------------------------------------------------------------------------


@kind
def clean(project: Project) -> None:
    project.committed(NEW)


@kind
def unpushed_commits(project: Project) -> None:
    project.committed()
    project.push()
    project.knob(5)
    project.commit()
    project.knob(NEW)
    project.commit()


@kind
def detached_head(project: Project) -> None:
    project.committed(NEW)
    project.knob(OLD)
    project.commit()
    project.git("checkout", "-q", "--detach", "HEAD~1")


@kind
def shallow_clone(project: Project) -> None:
    project.committed()
    project.commit()
    project.commit()
    remote = project.push()
    project.root.rename(project.place / "full")
    git(project.place, "clone", "-q", "--depth=1", f"file://{remote}", "project")
    project.knob(NEW)


@kind
def rewritten_history(project: Project) -> None:
    project.committed()
    project.push()
    project.knob(NEW)
    project.git("commit", "-q", "-a", "--amend", "-m", "another past")


@kind
def remote_gone(project: Project) -> None:
    project.committed()
    shutil.rmtree(project.push())
    project.knob(NEW)


@kind
def no_commit_yet(project: Project) -> None:
    project.start()
    project.script()
    project.knob(NEW)
    project.git("add", "train.py")


@kind
def no_repository(project: Project) -> None:
    project.script()
    project.knob(NEW)


@kind
def sha256_repository(project: Project) -> None:
    project.start("--object-format=sha256")
    project.script()
    project.knob(OLD)
    project.commit()
    project.knob(NEW)


@kind
def linked_worktree(project: Project) -> None:
    project.committed()
    project.git("worktree", "add", "-q", "-b", "other", str(project.place / "tree"))
    project.root = project.cwd = project.place / "tree"
    project.knob(NEW)


@kind
def merge_conflict(project: Project) -> None:
    project.committed()
    project.git("checkout", "-q", "-b", "other")
    project.knob(5)
    project.commit()
    project.git("checkout", "-q", "main")
    project.knob(NEW)
    project.commit()
    try:
        project.git("merge", "-q", "other")
    except AssertionError:  # it conflicts, as it should
        project.knob(NEW)


# -- what was done to files --------------------------------------------------------------------------------------------


@kind
def tracked_edits(project: Project) -> None:
    project.committed()
    project.knob(NEW)
    project.write("README.md", "Another text.\n")


@kind
def staged_and_edited_again(project: Project) -> None:
    project.committed()
    project.knob(5)
    project.git("add", "-A")
    project.knob(NEW)


@kind
def untracked_module(project: Project) -> None:
    project.committed(get="from extra.deep import KNOB")
    project.knob(NEW, "extra/deep.py")


@kind
def binary_changed(project: Project) -> None:
    project.committed(get="KNOB = open('settings.bin', 'rb').read()[3]", settings_bin=b"\0\xff\r" + bytes([OLD]) * 90)
    project.write("settings.bin", b"\0\xff\r" + bytes([NEW]) * 80)


@kind
def symlinked_module(project: Project) -> None:
    project.committed(real__settings_py=f"KNOB = {NEW}\n")
    (project.root / "settings.py").unlink()
    (project.root / "settings.py").symlink_to("real/settings.py")
    (project.root / "linked").symlink_to("real")


@kind
def mode_changed(project: Project) -> None:
    project.committed(get=f"import os\nKNOB = {NEW} if os.access('README.md', os.X_OK) else {OLD}")
    (project.root / "README.md").chmod(0o755)


@kind
def renamed(project: Project) -> None:
    project.committed(NEW, get="from renamed import KNOB", renamed_txt="a file in the way")
    project.git("mv", "settings.py", "renamed.py")


@kind
def deleted(project: Project) -> None:
    get = f"try:\n    from override import KNOB\nexcept ImportError:\n    KNOB = {NEW}"
    project.committed(get=get, override_py=f"KNOB = {OLD}\n")
    (project.root / "override.py").unlink()


@kind
def assume_unchanged_edit(project: Project) -> None:
    project.committed()
    project.git("update-index", "--assume-unchanged", "settings.py")
    project.git("update-index", "--skip-worktree", "README.md")
    project.knob(NEW)
    project.write("README.md", "Unseen.\n")


@kind
def line_ends(project: Project) -> None:
    get = "KNOB = open('settings.txt', 'rb').read().count(b'\\r') + open('auto.txt', 'rb').read().count(b'\\r')"
    project.committed(get=get, _gitattributes="settings.txt text eol=lf\n*.py ident\n")
    project.git("config", "core.autocrlf", "true")
    project.write("settings.txt", b"a\r\nb\r\nc\n")
    project.write("auto.txt", b"\r\n" * 5)
    project.git("add", "settings.txt", "auto.txt")


@kind
def names_that_are_hard(project: Project) -> None:
    names = ["with space.txt", "new\nline.txt", "ünï.txt", 'quo"te.txt', "-rf.txt", os.fsdecode(b"latin-\xe9.txt")]
    project.committed(get=f"KNOB = 1 + sum(len(open(name).read()) for name in {names!r})", wide__unused_txt="x")
    for name in names:
        project.write(name, "x")


# -- repositories in repositories --------------------------------------------------------------------------------------


def _library(project: Project) -> Path:
    library = project.place / "library"
    library.mkdir(parents=True)
    git(library, "init", "-q", "-b", "main")
    (library / "knobs.py").write_text(f"KNOB = {OLD}\n")
    git(library, "add", "-A")
    git(library, "commit", "-q", "-m", "library")
    return library


_FROM_LIBRARY = "sys.path.insert(0, 'third/library')\nfrom knobs import KNOB"


@kind
def submodule_with_edits(project: Project) -> None:
    project.committed(get=_FROM_LIBRARY)
    project.git("submodule", "add", "-q", str(_library(project)), "third/library")
    project.commit()
    project.knob(NEW, "third/library/knobs.py")
    project.write("third/library/new.py", "")


@kind
def submodule_at_another_commit(project: Project) -> None:
    project.committed(get=_FROM_LIBRARY)
    library = _library(project)
    project.git("submodule", "add", "-q", str(library), "third/library")
    project.commit()
    project.knob(NEW, "third/library/knobs.py")
    git(project.root / "third" / "library", "commit", "-q", "-a", "-m", "only here")


@kind
def embedded_repository(project: Project) -> None:
    project.committed(get=_FROM_LIBRARY)
    git(project.root, "clone", "-q", str(_library(project)), "third/library")
    project.knob(NEW, "third/library/knobs.py")


@kind
def ignored_embedded_repository(project: Project) -> None:
    project.committed(get="sys.path.insert(0, 'local/library')\nfrom knobs import KNOB")
    git(project.root, "clone", "-q", str(_library(project)), "local/library")
    project.knob(NEW, "local/library/knobs.py")


# -- what git does not show --------------------------------------------------------------------------------------------


@kind
def lfs_pointer_beside(project: Project) -> None:
    project.committed(_gitattributes="*.pt filter=lfs diff=lfs merge=lfs -text\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 123456\n"
    project.write("weights.pt", pointer)
    project.git("-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "-A")
    project.git("-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "commit", "-q", "-m", "pointer")
    project.knob(NEW)


@kind
def ignored_configuration(project: Project) -> None:
    get = "import json\nKNOB = json.load(open('local_settings.json'))['knob'] + len(open('local/b.yaml').read())"
    project.committed(get=get)
    project.write("local_settings.json", f'{{"knob": {NEW - 1}}}')
    project.write("local/b.yaml", "x")


@kind
def ignored_module(project: Project) -> None:
    project.committed(get="from local_settings import KNOB\nfrom local.more import MORE\nKNOB += MORE")
    project.knob(NEW - 1, "local_settings.py")
    project.write("local/more.py", "MORE = 1\n")


@kind
def sparse_checkout(project: Project) -> None:
    project.committed(kept__a_txt="a", dropped__b_txt="b")
    project.git("sparse-checkout", "set", "--cone", "--sparse-index", "kept")
    project.knob(NEW)


@kind
def programs_of_the_users(project: Project) -> None:
    """Hooks, filters and external programs: none may run, at capture or at restore."""
    project.committed(_gitattributes="*.py filter=shout diff=shout\n")
    ran = project.place / "ran"
    settings = f"""
        [core]
            hooksPath = {project.user}/hooks
            fsmonitor = touch {ran}
            attributesFile = {project.user}/attributes
        [diff]
            external = touch {ran}
            noprefix = true
        [filter "shout"]
            clean = touch {ran}; tr a-z A-Z
            smudge = touch {ran}; tr A-Z a-z
            required = true
        [diff "shout"]
            textconv = touch {ran}
        [color]
            ui = always
    """
    project.user.joinpath(".gitconfig").write_text(textwrap.dedent(settings))
    project.user.joinpath("attributes").write_text("* text eol=crlf\n")
    hooks = project.user / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / name).chmod(0o755)
    project.knob(NEW)


# -- where it is and how it is started ---------------------------------------------------------------------------------


@kind
def path_that_is_hard(project: Project) -> None:
    project.root = project.cwd = project.place / "my prøject: (v 2) 'new'"
    project.committed()
    project.knob(NEW)


@kind
def started_in_a_subfolder(project: Project) -> None:
    get = "sys.path.insert(0, '..')\nfrom settings import KNOB\nKNOB += len(open('local_here.txt').read())"
    project.committed()
    project.script(get, "experiments/first/train.py")
    project.write("experiments/settings.py", f"KNOB = {NEW - 1}\n")
    project.commit()
    project.cwd = project.root / "experiments" / "first"
    project.write("experiments/first/local_here.txt", "x")


@kind
def started_from_a_subfolder(project: Project) -> None:
    project.committed()
    project.cwd = project.root / "results"
    project.cwd.mkdir()
    project.command = ("../train.py",)
    project.knob(NEW)


@kind
def started_as_a_module(project: Project) -> None:
    project.committed(net____init___py="")
    project.script("from .settings import KNOB", "net/train.py")
    project.knob(NEW, "net/settings.py")
    project.command = ("-m", "net.train")


@kind
def layout_with_a_source_folder(project: Project) -> None:
    get = "sys.path.insert(0, __import__('os').path.join(__import__('os').path.dirname(__file__), '..', 'src'))"
    project.committed(src__net____init___py="", src__net__settings_py=f"KNOB = {OLD}\n")
    project.script(f"{get}\nfrom net.settings import KNOB", "scripts/train.py")
    project.knob(NEW, "src/net/settings.py")
    project.command = ("scripts/train.py",)


@kind
def reached_through_a_link(project: Project) -> None:
    project.committed()
    project.knob(NEW)
    project.cwd = project.place / "short"
    project.cwd.symlink_to(project.root)


@kind
def started_from_elsewhere(project: Project) -> None:
    project.committed()
    project.knob(NEW)
    project.cwd = project.place / "somewhere"
    project.cwd.mkdir()
    project.command = (str(project.root / "train.py"),)


@kind
def import_path_from_the_environment(project: Project) -> None:
    project.committed(get="from net.settings import KNOB", src__net____init___py="")
    project.knob(NEW, "src/net/settings.py")
    project.variables["PYTHONPATH"] = str(project.root / "src")


# -- seldom, but seen --------------------------------------------------------------------------------------------------


@kind
def inside_a_submodule(project: Project) -> None:
    project.committed()
    library = _library(project)
    project.git("submodule", "add", "-q", str(library), "third/library")
    project.commit()
    project.root = project.cwd = project.root / "third" / "library"
    project.script("from knobs import KNOB")
    project.knob(NEW, "knobs.py")


@kind
def partial_and_sparse_clone(project: Project) -> None:
    project.committed(kept__a_txt="a", dropped__b_txt="b")
    project.git("config", "uploadpack.allowFilter", "true")
    project.root.rename(project.place / "full")
    git(project.place, "clone", "-q", "--filter=blob:none", "--sparse", f"file://{project.place}/full", "project")
    project.git("sparse-checkout", "set", "kept")
    project.knob(NEW)


@kind
def clone_that_borrows_objects(project: Project) -> None:
    project.committed()
    project.root.rename(project.place / "full")
    git(project.place, "clone", "-q", "--shared", "full", "project")
    project.knob(NEW)


@kind
def separate_git_folder(project: Project) -> None:
    project.start("--separate-git-dir", str(project.place / "elsewhere.git"))
    project.script()
    project.knob(OLD)
    project.commit()
    project.knob(NEW)


@kind
def ignored_by_rules_of_the_users(project: Project) -> None:
    project.user.joinpath(".gitconfig").write_text(f"[core]\n\texcludesFile = {project.user}/ignored\n")
    project.user.joinpath("ignored").write_text("mine.py\n*.conf\n")
    project.committed(get="from mine import KNOB\nKNOB += len(open('my.conf').read())")
    project.knob(NEW - 1, "mine.py")
    project.write("my.conf", "x")


@kind
def links_in_a_circle(project: Project) -> None:
    project.committed(get="from here.here.settings import KNOB")
    project.knob(NEW)
    (project.root / "here").symlink_to(".")
    (project.root / "round").symlink_to("round")


@kind
def module_written_by_the_script(project: Project) -> None:
    get = f"open('local_made.py', 'w').write('KNOB = {NEW}')\nfrom local_made import KNOB"
    project.committed(get=get)


@kind
def cloned_with_replaced_history(project: Project) -> None:
    project.committed()
    first = project.git("rev-parse", "HEAD")
    project.knob(5)
    project.commit()
    project.git("replace", project.git("rev-parse", "HEAD"), first)
    project.knob(NEW)
