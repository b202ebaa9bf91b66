"""Which distributions the training process could import, and which exact builds they are. Read in the sidecar.

The search path is the training's own, so that what is listed is what it saw. A build is told apart by its origin
(PEP 610 `direct_url.json`) and by a digest over the file hashes of its RECORD, which differs between two
wheels of one version.
"""

from __future__ import annotations

import hashlib
import json
import re
import site
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from .captured import Captured, Gap
from .hardware import capture_hardware
from .secrets import redact_url

if TYPE_CHECKING:
    from ..rules.engine.records import Json

PART = "environment"
OWN = "soundrun"
"""Our own distribution: an observed training has the same bits as an unobserved one, so it is no part of a run."""

_VOLATILE = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json")
"""Files of .dist-info that the installer writes: they say who installed a wheel, not which wheel it is."""


@dataclass(frozen=True)
class Package:
    """One installed distribution: `origin` is "index", "vcs URL@COMMIT", "file NAME SHA256" or "editable PATH"."""

    name: str
    version: str
    origin: str
    record: str | None
    tag: str | None
    location: str
    modules: tuple[str, ...]

    @property
    def pin(self) -> str:
        """`name==version`, with the origin's identity where the index alone does not say which build it is."""
        if self.origin == "index":
            return f"{self.name}=={self.version}"
        return f"{self.name}=={self.version} ({'editable' if self.is_editable else self.origin})"

    @property
    def is_editable(self) -> bool:
        """Whether the code lives in a working directory instead of site-packages."""
        return self.origin.startswith("editable ")


def capture_packages(
    into: Path,
    sys_path: Sequence[str],
    *,
    process: Mapping[str, Json],
    project: Path | None = None,
    loaded_files: Iterable[str | Path] = (),
) -> Captured:
    """Write `environment.json` (all of it) and `requirements.txt` (pins) into `into`; return the short facts and gaps.

    `sys_path` and `process` are those of the training process, `project` the root whose code is captured separately,
    `loaded_files` the files of its modules. Raises OSError when `into` cannot be written.
    """
    packages = installed(sys_path)
    hardware = capture_hardware(process)
    python = process.get("python")
    digest = env_digest(python if isinstance(python, Mapping) else {}, packages)
    imported = process.get("imported")
    whole: dict[str, Json] = {
        "schema": 1,
        "digest": digest,
        "process": dict(process),
        "hardware": hardware.facts,
        "packages": [_row(package, imported) for package in packages],
    }
    into.mkdir(parents=True, exist_ok=True)
    environment, requirements = into / "environment.json", into / "requirements.txt"
    environment.write_text(json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    requirements.write_text(
        requirements_text(packages, python if isinstance(python, Mapping) else {}), encoding="utf-8"
    )
    gaps = [*_package_gaps(packages, project), *_path_gaps(sys_path, project, loaded_files), *hardware.gaps]
    facts: dict[str, Json] = {"digest": digest, "packages": len(packages), "hardware": hardware.facts}
    return Captured(facts=facts, gaps=gaps, files=[environment, requirements])


def installed(sys_path: Sequence[str]) -> list[Package]:
    """Every distribution on `sys_path` as import would find it (the first of a name wins), sorted by name."""
    found: dict[str, Package] = {}
    for distribution in metadata.distributions(path=[entry for entry in sys_path if entry]):
        try:
            package = _package(distribution)
        except Exception:
            continue  # a half-removed distribution has no readable metadata and cannot be imported either
        if package is not None:
            found.setdefault(package.name, package)
    return [found[name] for name in sorted(found)]


def canonical(name: str) -> str:
    """The distribution name as PEP 503 compares it: lower case, runs of `-_.` as one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(distribution: metadata.Distribution) -> Package | None:
    fields = distribution.metadata
    if fields is None or not fields["Name"]:
        return None
    version = str(fields["Version"] or "unknown")
    record = distribution.read_text("RECORD") or ""
    location = str(distribution.locate_file(""))
    digest, modules = _read_record(record)
    top_level = (distribution.read_text("top_level.txt") or "").split()
    return Package(
        name=canonical(str(fields["Name"])),
        version=version,
        origin=_origin(distribution, location),
        record=digest,
        tag=_tag(distribution.read_text("WHEEL")),
        location=location,
        modules=tuple(sorted({*modules, *top_level})),
    )


def _tag(wheel: str | None) -> str | None:
    tags = re.findall(r"^Tag:\s*(\S+)", wheel or "", re.MULTILINE)
    return ",".join(sorted(tags)) or None


def _read_record(record: str) -> tuple[str | None, set[str]]:
    """A digest over the file hashes of one RECORD, without what depends on the installer, and its top-level names."""
    kept: list[str] = []
    modules: set[str] = set()
    for line in record.splitlines():
        path, _, rest = line.rpartition(",")
        path, _, file_hash = path.rpartition(",")
        path = path.strip('"')
        first, _, inner = path.partition("/")
        if path.startswith(("..", "/")) or path.endswith(".pyc") or not file_hash:
            continue  # scripts carry the interpreter's path; byte code is made on the spot
        if first.endswith(".dist-info"):
            if inner in _VOLATILE:
                continue
        elif inner or path.endswith((".py", ".so")):
            modules.add(first.partition(".")[0])
        kept.append(f"{path},{file_hash},{rest}")
    if not kept:
        return None, modules
    return hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest(), modules


def _origin(distribution: metadata.Distribution, location: str) -> str:
    text = distribution.read_text("direct_url.json")
    if text:
        direct = json.loads(text)
        url = str(direct.get("url", ""))
        inner = f"#subdirectory={direct['subdirectory']}" if direct.get("subdirectory") else ""
        if "vcs_info" in direct:
            vcs = direct["vcs_info"]
            return f"vcs {vcs.get('vcs', 'git')}+{redact_url(url)}@{vcs.get('commit_id', 'unknown')}{inner}"
        if direct.get("dir_info", {}).get("editable"):
            return f"editable {unquote(urlsplit(url).path)}"
        if "dir_info" in direct:
            return f"directory {unquote(urlsplit(url).path)}"
        archive = direct.get("archive_info", {})
        sha = archive.get("hashes", {}).get("sha256") or str(archive.get("hash", "")).removeprefix("sha256=")
        name = url.rpartition("/")[2]
        return (
            f"file {name} {sha or 'unknown'}"
            if url.startswith("file:")
            else f"url {redact_url(url)}{inner} {sha}".strip()
        )
    # `setup.py develop` and a source directory on the path leave an .egg-info beside the sources.
    if Path(str(getattr(distribution, "_path", ""))).suffix == ".egg-info" and not _is_site(location):
        return f"editable {location}"
    return "index"


def _is_site(location: str | Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(location).parts)


def env_digest(python: Mapping[str, Json], packages: Iterable[Package]) -> str:
    """One sha256 for interpreter and packages: equal digests mean the same versions, origins and wheel contents.

    Paths of this machine are not part of it, so that it can be equal elsewhere.
    """
    lines = [f"{python.get('implementation')} {python.get('version')}"]
    lines += sorted(f"{package.pin} {package.record or '' if not package.is_editable else ''}" for package in packages)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _row(package: Package, imported: Json) -> Json:
    names = set(map(str, imported)) if isinstance(imported, list) else None
    return {
        "name": package.name,
        "version": package.version,
        "origin": package.origin,
        "record": package.record,
        "tag": package.tag,
        "imported": None if names is None or not package.modules else not names.isdisjoint(package.modules),
    }


def requirements_text(packages: Sequence[Package], python: Mapping[str, Json]) -> str:
    """A requirements file that pip and uv read; what no index has is a comment that says what to do."""
    lines = [f"# python {python.get('version', 'unknown')} ({python.get('implementation', 'unknown')})"]
    for package in packages:
        kind, _, rest = package.origin.partition(" ")
        if kind == "index":
            lines.append(f"{package.name}=={package.version}")
        elif kind == "vcs":
            lines.append(f"{package.name} @ {rest}")
        elif kind == "url":
            url, _, sha = rest.partition(" ")
            joined = "&" if "#" in url else "#"
            lines.append(f"{package.name} @ {url}" + (f"{joined}sha256={sha}" if sha else ""))
        else:
            lines.append(f"# {kind}: {package.name}=={package.version} from {rest}")
    return "\n".join(lines) + "\n"


def _package_gaps(packages: Sequence[Package], project: Path | None) -> Iterable[Gap]:
    for package in packages:
        if package.name == OWN:
            continue
        kind, _, rest = package.origin.partition(" ")
        if kind in ("editable", "directory") and not _belongs(Path(rest), project):
            installed_as = "an editable install" if kind == "editable" else "installed from a directory"
            yield Gap(
                PART,
                f"{package.name} {package.version} is {installed_as} at {rest}: its code has no identity",
                f"install a released {package.name}, or from a git commit",
                blocking=True,
            )
        elif kind == "file":
            yield Gap(
                PART,
                f"{package.name} {package.version} was installed from a local file ({rest.split(' ')[0]})",
                "keep that file: no index may have it",
                blocking=False,
            )


def _belongs(path: Path, project: Path | None) -> bool:
    return project is not None and path.resolve().is_relative_to(project.resolve())


def _path_gaps(sys_path: Sequence[str], project: Path | None, loaded_files: Iterable[str | Path]) -> Iterable[Gap]:
    """Directories beside project, stdlib and site-packages from which modules were really loaded."""
    standard = [Path(path).resolve() for key, path in sysconfig.get_paths().items() if key in ("stdlib", "platstdlib")]
    standard += [Path(path).resolve() for path in [*site.getsitepackages(), site.getusersitepackages()]]
    # A distribution may add its own directories to the path (setuptools' vendored ones): they belong to it.
    extra = [
        entry
        for entry in dict.fromkeys(Path(text).resolve() for text in sys_path if text)
        if entry.is_dir()
        and not _is_site(entry)
        and not _belongs(entry, project)
        and not any(entry.is_relative_to(place) for place in standard)
    ]
    if project is not None:  # a parent of the project would claim the project's own files
        extra = [entry for entry in extra if not project.resolve().is_relative_to(entry)]
    files = [Path(file).resolve() for file in loaded_files] if extra else []
    for entry in extra:
        count = sum(file.is_relative_to(entry) and not _is_site(file) for file in files)
        if count:
            yield Gap(
                PART,
                f"{count} module(s) were loaded from {entry}, outside the project: their code has no identity",
                "move them into the project or install them as a package",
                blocking=True,
            )
