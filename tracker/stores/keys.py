"""Names and values as MLflow takes them: what it would reject or cut is changed here, in a way that can be undone."""

from __future__ import annotations

import hashlib
import re

MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 8000
_BAD = re.compile(r"[^\w/.\- :]")


def _escape(match: re.Match[str]) -> str:
    return f"_x{ord(match.group()):02X}"


def storable_key(key: str) -> str:
    """`key` as a metric, param or tag name that MLflow accepts: `acc@5` becomes `acc_x405`.

    Characters outside letters, digits and `_ - . / : ` and space are written as `_x` and their code in hexadecimal; a
    key that would be another path (`a//b`, `../a`) or that is longer than 250 characters is changed as well.
    """
    name = "/".join(
        "_" if part == "" else part.replace(".", "_x2E") if part in (".", "..") else part
        for part in _BAD.sub(_escape, key).split("/")
    )
    if len(name) > MAX_KEY:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:10]
        name = f"{name[: MAX_KEY - 11]}-{digest}"
    return name


class Keys:
    """Gives every key its own storable name, and remembers the ones that had to be changed."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def __getitem__(self, key: str) -> str:
        name = self._names.get(key)
        if name is None:
            name = wanted = storable_key(key)
            number = 2
            while name in self._taken:
                name = f"{wanted[: MAX_KEY - 6]}-{number}"
                number += 1
            self._names[key] = name
            self._taken.add(name)
        return name

    @property
    def changed(self) -> dict[str, str]:
        """Stored name to original key, for all that differ."""
        return {name: key for key, name in self._names.items() if name != key}


def shortened(text: str, limit: int) -> str:
    """`text` cut to `limit` characters, with a mark where it was cut; without characters a database cannot hold."""
    clean = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\\0")
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
