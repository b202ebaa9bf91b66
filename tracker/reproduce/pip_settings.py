"""What pip is told of indexes, link folders, certificates and time limits, in the words of uv.

It is read when it is needed and goes into the environment variables of one child process: an address can hold a
password, so nothing of it is stored or printed. pip's rules are followed: files for all users, for this user, of this
virtual environment, then the one that `PIP_CONFIG_FILE` names; in each `[global]` before `[install]`; variables last.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ..capture.secrets import redact, redact_url

_OPTIONS = (
    "index-url", "extra-index-url", "find-links", "no-index", "cert", "client-cert", "timeout", "trusted-host", "proxy",
    "keyring-provider",
)  # fmt: skip
_LEGACY = {"default-timeout": "timeout"}
"""The option's name in `PIP_DEFAULT_TIMEOUT`."""
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def pip_settings(environ: Mapping[str, str] | None = None, prefix: str | None = None) -> dict[str, str]:
    """pip's options by name, as configured for the Python at `prefix`; without the ones that are not set."""
    variables = os.environ if environ is None else environ
    found: dict[str, str] = {}
    sections: list[configparser.RawConfigParser] = [_read(path) for path in _files(variables, prefix or sys.prefix)]
    for section in ("global", "install"):
        for parser in sections:
            if parser.has_section(section):
                found.update({_plain(name): value for name, value in parser.items(section)})
    for name, value in variables.items():
        if name.startswith("PIP_") and value:
            found[_plain(name[4:])] = value
    return {name: found[name].strip() for name in _OPTIONS if found.get(name, "").strip()}


def _plain(name: str) -> str:
    name = name.lower().replace("_", "-")
    return _LEGACY.get(name, name)


def _files(variables: Mapping[str, str], prefix: str) -> list[Path]:
    named = variables.get("PIP_CONFIG_FILE")
    if named == os.devnull:  # pip reads no file at all then
        return []
    home = Path(variables.get("HOME") or os.path.expanduser("~"))
    system = [Path(folder) / "pip" for folder in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)]
    user = Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    files = [*(folder / "pip.conf" for folder in reversed(system)), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", user / "pip.conf", Path(prefix) / "pip.conf"]
    return [*files, Path(named)] if named else files


def _read(path: Path) -> configparser.RawConfigParser:
    """One file; an empty one where it is missing or cannot be read, as half of a configuration helps nobody."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return configparser.RawConfigParser()
    return parser


def uv_variables(settings: Mapping[str, str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables that make uv look where pip does; what the user has told uv itself stays."""
    variables = os.environ if environ is None else environ
    found = {
        # pip takes the best version of all indexes; uv would stop at the first index that knows a name.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": settings.get("index-url", "").rstrip("/"),
        "UV_INSECURE_HOST": " ".join(settings.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": _whole(settings.get("timeout", "")),
        "UV_KEYRING_PROVIDER": "subprocess" if settings.get("keyring-provider") == "subprocess" else "",
        "SSL_CERT_FILE": _expanded(settings.get("cert", "")),
        "SSL_CLIENT_CERT": _expanded(settings.get("client-cert", "")),
        "ALL_PROXY": settings.get("proxy", ""),
    }
    found = {name: value for name, value in found.items() if value and not variables.get(name)}
    indexes = [*variables.get("UV_INDEX", "").split(), *settings.get("extra-index-url", "").split()]
    links = [*variables.get("UV_FIND_LINKS", "").split(","), *map(_expanded, settings.get("find-links", "").split())]
    lists = {"UV_INDEX": " ".join(indexes), "UV_FIND_LINKS": ",".join(link for link in links if link)}
    return {**found, **{name: value for name, value in lists.items() if value}}


def uses_no_index(settings: Mapping[str, str]) -> bool:
    """Whether pip asks no index, only link folders."""
    return settings.get("no-index", "").lower() in ("1", "true", "yes", "on", "t", "y")


def _whole(seconds: str) -> str:
    try:
        return str(max(1, round(float(seconds))))
    except ValueError:
        return ""


def _expanded(place: str) -> str:
    """A path as seen from everywhere; an address as it is."""
    return place if not place or "://" in place else os.path.abspath(os.path.expanduser(place))


def settings_digest(settings: Mapping[str, str]) -> str:
    """A short name for these settings, passwords left out: what was found under others says nothing of these."""
    told = {name: value for name, value in settings.items() if name in ("index-url", "extra-index-url", "find-links")}
    lines = [f"{name}={' '.join(map(redact_url, value.split()))}" for name, value in sorted(told.items())]
    lines.append(f"no-index={uses_no_index(settings)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def without_passwords(text: str) -> str:
    """A message of uv's with the user names, passwords and tokens of addresses taken out."""
    return redact(_USERINFO.sub("", text))
