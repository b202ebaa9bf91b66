"""Finds passwords, keys and tokens in text, so that none of them leaves the machine with a run.

Two ways to notice one: the published shape of a provider's token, and a literal assigned to a telling name. The second
asks more of a value whose name also has an innocent meaning (`pad_token`, `sort_key`), because a false alarm here keeps
a source file out of the run. Finding none is no proof that there is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log2

from .secret_shapes import SHAPES


@dataclass(frozen=True)
class Secret:
    """Where a secret stands: `text[start:end]` is the part to hide, `kind` says what it looks like."""

    kind: str
    start: int
    end: int


_MUST_LOOK_RANDOM = frozenset({"openai-key", "authorization", "url-token", "huggingface-token"})

_KEYWORD = re.compile(r"passw(?:or)?d|passphrase|pwd|secret|token|credentials?|api_?-?key|_key|-key|_pass\b")
_JOINS = re.compile(r"[A-Za-z0-9_+/-]")
_NAME_CHARACTERS = re.compile(r"[A-Za-z0-9_.-]{0,60}\Z")
_ASSIGNED = re.compile(
    r"(?P<tail>[A-Za-z0-9_-]{0,40})"
    r"(?P<close>\\?[\"']?\]?)"
    r"(?:[ \t]{0,4}:[ \t]{0,4}[A-Za-z_][\w.\[\] |]{0,40}(?=[ \t]{0,4}=[^=]))?"
    r"(?P<sign>[ \t]{0,20}(?:=>|:=|={1,2}|:)[ \t]{0,20}|[ \t]{1,4})"
    r"(?:(?:[rbuRBU]{0,2}\\?(?P<quote>[\"'])(?P<quoted>[^\"'\n]{0,500}?)\\?(?P=quote))"
    r"|(?P<bare>[^\s\"'#,;&(){}\[\]<>]{1,500})(?P<after>[ \t]*[(\[.]?))"
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PASSWORD_WORDS = _set("password passwd passphrase pwd secret secrets credential credentials")
_KEY_QUALIFIERS = _set(
    "api access secret private auth encryption signing account storage license ssh aws azure openai anthropic wandb"
    " comet neptune kaggle hf master service subscription"
)
_INNOCENT_TOKENS = _set(
    "pad eos bos sep cls mask unk unknown start end stop special image video audio max min num n per next prev last"
    " first new each by sub begin newline sot eot decoder encoder forced prefix suffix separator placeholder class"
    " register added key page"
)
_INNOCENT_KEYS = _set("public primary foreign sort sorted index cache group image label")
_PLACEHOLDER_WORDS = _set(
    "none null nil true false changeme change-me change_me password passwd pass secret token key pwd todo tbd hidden"
    " unset empty default str string bytes int bool optional secretstr any required undefined fake prompt"
)
_PLACEHOLDER_PARTS = ("your", "example", "redacted", "placeholder", "changeme", "dummy", "xxxx", "***", "...")
_PLACEHOLDER = re.compile(r"\W*\Z|[$%<{\[(]|(.)\1*\Z")
_SPECIAL_WORD = re.compile(r"<[^<>]{0,40}>|\[[A-Z_]{0,40}\]")
_DOTTED_WORDS = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+\Z")
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+:?\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*\Z")
_NUMBER = re.compile(r"[+-]?[\d_]*\.?\d+(?:[eE][+-]?\d+)?\Z")


def find_secrets(text: str) -> list[Secret]:
    """Return every secret that `text` shows, in order and without overlap."""
    found = sorted((*_by_shape(text), *_by_name(text)), key=lambda secret: (secret.start, -secret.end))
    separate: list[Secret] = []
    for secret in found:
        if separate and secret.start < separate[-1].end:
            last = separate[-1]
            separate[-1] = Secret(last.kind, last.start, max(last.end, secret.end))
        else:
            separate.append(secret)
    return separate


def redact(text: str) -> str:
    """Return `text` with every secret replaced by `[redacted:kind]`; text without one comes back unchanged."""
    parts: list[str] = []
    position = 0
    for secret in find_secrets(text):
        parts += (text[position : secret.start], f"[redacted:{secret.kind}]")
        position = secret.end
    return "".join((*parts, text[position:])) if parts else text


def redact_url(url: str) -> str:
    """Return `url` without user name, password and token parameters; the `git` user of an ssh address stays."""
    scheme, mark, rest = url.partition("://")
    if mark:
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
        keep = f"{user}@" if at and scheme.lower().endswith("ssh") and ":" not in user else ""
        url = f"{scheme}://{keep}{host}{slash}{path}"
    return redact(url)


def redact_value(name: str, value: str) -> str:
    """Return `value`, or `[redacted]` where `name` says that it is a secret, or `value` without the secrets in it.

    Meant for variables, parameters and command-line options, where the name is certain. Placeholders (`None`,
    `${TOKEN}`) are no secrets and stay readable; so do numbers, except under the name of a password.
    """
    if _is_placeholder(value):
        return value
    if _is_password_name(name):
        return "[redacted]"
    if is_secret_name(name) or (_is_key_name(name) and _looks_random(value)):
        return value if _NUMBER.match(value) else "[redacted]"
    return redact(value)


def is_secret_name(name: str) -> bool:
    """Return whether a value called `name` (`API_KEY`, `db-password`) is a secret by its name alone."""
    return _is_password_name(name) or (_is_key_name(name) and (name.isupper() or _is_qualified(name)))


def _by_shape(text: str) -> Iterator[Secret]:
    for shape in SHAPES:
        if not any(hint in text for hint in shape.hints):
            continue
        for match in shape.pattern.finditer(text):
            group = 1 if shape.pattern.groups else 0
            value = match.group(group)
            if shape.alone and match.start() and _JOINS.match(text[match.start() - 1]):
                continue
            if shape.kind in _MUST_LOOK_RANDOM and not _looks_random(value):
                continue
            if shape.kind != "private-key" and _is_placeholder(value):
                continue
            yield Secret(shape.kind, *match.span(group))


def _by_name(text: str) -> Iterator[Secret]:
    lowered = text.lower()  # ten times faster than a search that ignores case
    if len(lowered) != len(text):  # letters such as the Turkish capital I grow when lowered
        lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
    for keyword in _KEYWORD.finditer(lowered):
        assigned = _ASSIGNED.match(text, keyword.end())
        if assigned is None:
            continue
        before = _NAME_CHARACTERS.search(text, max(0, keyword.start() - 60), keyword.start())
        start = before.start() if before else keyword.start()
        name = text[start : assigned.end("tail")]
        judge = _judge_of(name)
        value = assigned.group("quoted") or assigned.group("bare") or ""
        if judge is None or value.lower() in name.lower():  # `CLIENT_SECRET = "client_secret"` names a key, holds none
            continue
        if assigned.group("quoted") is not None:
            # Words after a quoted name are prose or a call, not a value: `"password" "again"`.
            if assigned.group("sign").strip() and judge(assigned.group("quoted")):
                yield Secret("assigned-secret", *assigned.span("quoted"))
        elif _is_literal(name, assigned) and judge(assigned.group("bare")):
            yield Secret("assigned-secret", *assigned.span("bare"))


def _judge_of(name: str) -> Callable[[str], bool] | None:
    if _is_password_name(name):
        return _could_be_password
    return _looks_random if _is_key_name(name) else None


def _is_literal(name: str, assigned: re.Match[str]) -> bool:
    """Whether an unquoted value is text (shell, .env, YAML, command line) and not an expression of a program."""
    bare, sign = assigned.group("bare"), assigned.group("sign")
    if assigned.group("after").strip() or assigned.group("close"):
        return False
    option = name.startswith("--")
    if not sign.strip():
        return option and not bare.startswith("-")
    if option or (sign == "=" and name.isupper()):
        return True
    if (_IDENTIFIER.match(bare) and not any(map(str.isdigit, bare))) or _ATTRIBUTE.match(bare):
        return False
    return sign.strip() == ":" or _looks_random(bare)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]


def _is_password_name(name: str) -> bool:
    words = _words(name)
    if not words or name in ("PWD", "OLDPWD"):  # the shell's working directory
        return False
    return words[-1] in _PASSWORD_WORDS or (words[-1] == "pass" and len(words) > 1 and name.isupper())


def _is_key_name(name: str) -> bool:
    words = _words(name)
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "apikey":
        return True
    if last == "token":
        return before not in _INNOCENT_TOKENS
    return last == "key" and bool(before) and before not in _INNOCENT_KEYS


def _is_qualified(name: str) -> bool:
    words = _words(name)
    return words[-1] in ("apikey", "token") or (len(words) > 1 and words[-2] in _KEY_QUALIFIERS)


def _is_placeholder(value: str) -> bool:
    bare = value.strip().lower()
    if len(bare) < 3 or bare in _PLACEHOLDER_WORDS or bare[-1] in ">}])":
        return True
    return bool(_PLACEHOLDER.match(bare)) or any(part in bare for part in _PLACEHOLDER_PARTS)


def _could_be_password(value: str) -> bool:
    return len(value) >= 4 and not re.search(r"\s|^(?:~|\.{1,2})?/", value) and not _is_placeholder(value)


def _looks_random(value: str) -> bool:
    """Whether `value` reads like a generated string: 12 characters or more, digits among letters or mixed case, and
    more than 3 bits a character, which English words and identifiers of that length seldom reach together."""
    if len(value) < 12 or re.search(r"\s", value) or _is_placeholder(value) or _SPECIAL_WORD.search(value):
        return False
    if _DOTTED_WORDS.match(value):
        return False
    if re.search(r"[/\\]|\.\w{1,5}\Z", value) and not re.search(r"\d.*\d.*\d", value):  # a path or a file name
        return False
    mixed = re.search(r"[a-z]", value) and re.search(r"[A-Z]", value) and len(value) >= 24 and "_" not in value
    if not (re.search(r"[A-Za-z]", value) and (re.search(r"\d", value) or mixed)):
        return False
    counts = Counter(value)
    return -sum(n / len(value) * log2(n / len(value)) for n in counts.values()) > 3.0
