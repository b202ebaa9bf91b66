"""What two programs were told: their code line by line, their arguments, and the parameters that were seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from .hunks import Hunk
from .kinds import RecordedDifference, shown
from .recorded import RecordedRun

CONFIGS = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".properties", ".gin")
"""Endings of files that are read to be told something, line by line; other files that are read are data."""

_CODE = (".py", ".pyx", ".pyi", ".ipynb", ".sh", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".so")

_TOPICS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("seed", re.compile(r"seed|default_rng|RandomState|[Gg]enerator|deterministic", re.IGNORECASE)),
    ("threads", re.compile(r"num_threads|interop|NUM_THREADS", re.IGNORECASE)),
    ("loader", re.compile(r"DataLoader|shuffle|[Ss]ampler|num_workers|batch_?size|drop_last|collate|permutation")),
    (
        "data",
        re.compile(
            r"\bopen\(|read_\w+\(|\.load\w*\(|[Tt]ransform|[Dd]ataset|normali[sz]e|augment|\.csv|\.npy|\.npz|\bmean\b|"
            r"\bstd\b|data"
        ),
    ),
    (
        "model",
        re.compile(
            r"\bnn\.|Linear|Conv|Embedding|LSTM|GRU|Transformer|Dropout|dropout|Norm\b|Norm\d|init_?\.|init\b|hidden|"
            r"width|depth|\bdim|layers?|forward|relu|gelu|activation",
            re.IGNORECASE,
        ),
    ),
    (
        "update",
        re.compile(
            r"optim|SGD|Adam|\blr\b|learning_rate|weight_decay|momentum|betas|backward|\.step\(|clip_grad|scaler|"
            r"autocast|scheduler|warmup|precision|tf32|epochs?\b|criterion|loss",
            re.IGNORECASE,
        ),
    ),
    ("evaluation", re.compile(r"\beval|valid|\btest|accuracy|metric|score", re.IGNORECASE)),
)
"""What a changed line is about, by the words in it."""

_TOKEN = re.compile(r"[A-Za-z_]\w*|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FOLLOWS_DATA = ("dataset_length", "class_counts", "class_weights", "num_classes", "vocab_size")


def code_differences(hunks: Iterable[Hunk], a: RecordedRun, b: RecordedRun, data: set[str]) -> list[RecordedDifference]:
    """The hunks as differences; those of `data`, the names of data files, are left to the data."""
    loaded = _loaded(a, b)
    imported = {*_imported(a), *_imported(b)}
    entries = {str(run.captured("code.json").get("entry")) for run in (a, b)}
    found = []
    for hunk in hunks:
        if hunk.file in data and not is_told(hunk.file):
            continue
        is_read = hunk.file in data or hunk.file in entries or _was_loaded(hunk.file, loaded, imported)
        topics = _topics(hunk) if is_read else frozenset({"unread"})
        found.append(
            RecordedDifference(
                hunk.id, "code", hunk.place, "\n".join(hunk.removed) or None, "\n".join(hunk.added) or None, hunk,
                can_matter=hunk.is_program, topics=topics,
            )
        )  # fmt: skip
    return found


def is_told(name: str) -> bool:
    """True for a file that tells a program what to do: code or a configuration."""
    return name.lower().endswith((*CONFIGS, *_CODE))


def _loaded(a: RecordedRun, b: RecordedRun) -> set[str] | None:
    """Files of the project that were imported by either run, relative to its root; None where that is not known."""
    found: set[str] = set()
    for run in (a, b):
        files, root = run.process.get("loaded_files"), run.captured("code.json").get("root")
        if not isinstance(files, list) or not root:
            return None
        head = f"{root}/"
        found.update(str(name)[len(head) :] for name in files if str(name).startswith(head))
    return found


def _imported(run: RecordedRun) -> list[str]:
    process = run.environment.get("process")
    names = process.get("imported") if isinstance(process, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _was_loaded(name: str, loaded: set[str] | None, imported: set[str]) -> bool:
    path = PurePosixPath(name)
    if path.suffix == ".ipynb" or (loaded is not None and name in loaded):
        return True
    if path.suffix not in (".py", ".so", ".pyx"):
        return path.suffix in _CODE  # a kernel that is built on the fly, a shell script around it
    return loaded is None and any(part in imported for part in (*path.parts[:-1], path.stem.split(".")[0]))


def _topics(hunk: Hunk) -> frozenset[str]:
    text = "\n".join([*hunk.removed, *hunk.added])
    return frozenset(name for name, pattern in _TOPICS if pattern.search(text))


def topics_of_name(name: str) -> frozenset[str]:
    """What an option or a parameter is about, by its name."""
    return frozenset(topic for topic, pattern in _TOPICS if pattern.search(name.lstrip("-").replace("-", "_")))


# -- parameters --------------------------------------------------------------------------------------------------------


def parameter_differences(params: Mapping[str, tuple[str | None, str | None]]) -> list[RecordedDifference]:
    """One for each parameter; those that say the same twice, such as `args/lr` and `optimizer/groups/0/lr`, are one."""
    # A bare name is what the user gave; the others often repeat it.
    names = sorted(params, key=lambda name: (name.count("/"), not name.startswith("args/"), name))
    found: list[RecordedDifference] = []
    for name in names:
        one, other = params[name]
        for place, known in enumerate(found):
            if _last(known.what) == _last(name) and _agree(known.a, one) and _agree(known.b, other):
                found[place] = replace(known, repeats=(*known.repeats, name))
                break
        else:
            found.append(
                RecordedDifference(f"param:{name}", "parameter", name, one, other, topics=topics_of_name(name))
            )
    return found


def _agree(one: object, other: object) -> bool:
    """True for equal values, and where only one of the two places has any."""
    return one is None or other is None or same_value(one, other)


def fold_parameters(
    params: Sequence[RecordedDifference], told: Sequence[RecordedDifference], data: Sequence[RecordedDifference]
) -> tuple[list[RecordedDifference], list[RecordedDifference], list[RecordedDifference]]:
    """Puts the parameters that only repeat a changed line, an argument or a data file under it.

    Returns the parameters that are left, then `told` and `data` with what was folded in their `repeats`.
    """
    told, data, left = list(told), list(data), []
    lines = [place for place, one in enumerate(told) if one.hunk is not None and one.can_matter and _is_read(one)]
    for one in params:
        names = [one.what, *one.repeats]
        found = next((place for place, other in enumerate(told) if _says(other, one)), None)
        if found is None and _last(one.what) in _FOLLOWS_DATA and data:
            data[0] = replace(data[0], repeats=(*data[0].repeats, *names))
            continue
        if found is None and len(lines) == 1 and "/" in one.what and not one.what.startswith("args/"):
            # Seen in the objects of the script: where one line is all that differs, it made them so.
            found = lines[0] if all(other.hunk is not None for other in told) else None
        if found is None:
            left.append(one)
        else:
            told[found] = _with_default(told[found], one)
            told[found] = replace(told[found], repeats=(*told[found].repeats, *names))
    return left, told, data


def _with_default(told: RecordedDifference, param: RecordedDifference) -> RecordedDifference:
    """An argument that only one run was given, with the value that the other one had of it all the same."""
    if told.kind != "argument" or not param.what.startswith("args/"):
        return told
    if told.a is None and param.a is not None:
        return replace(told, a=f"{param.a} (not given)")
    return replace(told, b=f"{param.b} (not given)") if told.b is None and param.b is not None else told


def _is_read(one: RecordedDifference) -> bool:
    return "unread" not in one.topics


def _says(told: RecordedDifference, param: RecordedDifference) -> bool:
    """True when a changed line or an argument gives the parameter the two values it has."""
    if told.kind == "argument" and ":" in told.id:
        same_name = _plain(told.id[5:]) == _plain(_last(param.what))
        return (same_name and param.what.startswith("args/")) or (
            same_value(told.a, param.a) and same_value(told.b, param.b)
        )
    if told.hunk is None:
        return told.kind == "argument" and {str(param.a), str(param.b)} <= {*str(told.a).split(), *str(told.b).split()}
    if not told.can_matter or not _is_read(told):
        return False
    return mentions(told.hunk, param.a, param.b)


def mentions(hunk: Hunk, a: object, b: object) -> bool:
    """True when the lines of A hold the one value and those of B the other, and neither holds both."""
    before, after = _words(hunk.removed), _words(hunk.added)
    return _among(a, before) and _among(b, after) and not (_among(b, before) and _among(a, after))


def _words(lines: Iterable[str]) -> set[str]:
    return {word for line in lines for word in _TOKEN.findall(line)}


def _among(value: object, words: set[str]) -> bool:
    if value is None:
        return True  # a parameter that only the other run has
    text = str(value)
    return text in words or text.rpartition(".")[2] in words or any(same_value(text, word) for word in words)


def same_value(a: object, b: object) -> bool:
    """True for equal values, as text or as numbers: `1e-1` and `0.1`."""
    if str(a) == str(b):
        return True
    try:
        return float(str(a)) == float(str(b))
    except ValueError:
        return False


def _last(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[2] or name


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").rpartition(".")[2].lower()


def described(one: RecordedDifference) -> str:
    """The two values of a difference, for what it is said to be set by."""
    return f"{one.what}: {shown(one.a)} against {shown(one.b)}"
