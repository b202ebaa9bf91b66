"""The data of a re-run, made ready before it starts: checked, put in place, and what stays in doubt said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ReproduceError
from .data import DataCheck, place_data
from .moved import Moved
from .outputs import absolute_outputs, files_naming_original, names_original
from .plan import Plan
from .rerun import child_environment

_SHOWN = 5


def prepare_data(plan: Plan, moved: Moved, root: Path, use_current_data: bool, say: Callable[[str], None]) -> int:
    """Puts the data below `root` in place; returns how many files are not the recorded ones, where that is allowed.

    `say` is given a line for each thing worth knowing. Raises `ReproduceError` where the re-run would not find the
    recorded data; with `use_current_data` only where `moved` maps what it cannot.
    """
    data = DataCheck(plan.data, moved, child_environment(plan, root))
    for name in data.relink(root):
        say(f"data: {name} is a link out of the project, now to the mapped data: the re-run could write to it")
    _refuse_useless_maps(data, root)
    lost = data.out_of_reach(root)
    if lost and not use_current_data:
        beside = plan.project.parent / f"{plan.project.name}-again" if plan.project else root
        raise ReproduceError(
            f"{lost[0]} leads out of the project by a relative path or a link, to nothing from {root}. "
            f"Nothing was executed. Restore beside the original: --into {beside}, "
            "or map a link or an argument that leads there: --data OLD=NEW"
        )
    left = data.outside_project(root)
    changed = data.changed(root)
    if changed and not use_current_data:
        where = f" below {plan.project}" if plan.project and any(not name.startswith("/") for name in changed) else ""
        raise ReproduceError(
            f"{len(changed)} of {len(data.items)} data files are not the recorded ones: {_some(changed)}. "
            f"Nothing was executed. Put the recorded files back where they were{where}, say where they are now with "
            "--data OLD=NEW, or go on with --use-current-data."
        )
    for name in changed:
        say(f"data: {name}: not the recorded file")
    for name in place_data(root, left):
        say(f"data: {name} is linked, not copied: the re-run could write to it")
    for line in data.weaker(root):
        say(f"data: {line}")
    for line in data.addresses():
        say(f"data: {line} is not compared")
    say(f"data: {max(0, len(data.items) - len(changed))} of {len(data.items)} files as recorded ({data.identity})")
    for place in files_naming_original(root, plan.project)[:_SHOWN]:
        say(f"warning: {place} names the original project, not {root}")
    return len(changed)


def warnings_before(plan: Plan, root: Path) -> list[str]:
    """What of the original a re-run in `root` will write to again, or may, as known before anything is restored."""
    written = absolute_outputs(plan.data, root, plan.project)
    lines = [f"the re-run will write to {path} again" for path in written[:_SHOWN]]
    if len(written) > _SHOWN:
        lines.append(f"and to {len(written) - _SHOWN} more files outside of {root}")
    words = names_original(plan.arguments, plan.project)
    return lines + [f"the argument {word!r} names the original project, not {root}" for word in words[:_SHOWN]]


def _refuse_useless_maps(data: DataCheck, root: Path) -> None:
    unknown = data.unknown()
    if unknown:
        recorded = [str(item["path"]) for item in data.items if not item.get("in_code")]
        raise ReproduceError(
            f"--data maps {unknown[0]}, which the run did not read and its command does not name. Nothing was "
            f"executed. It read {_some(recorded) if recorded else 'no data file'}."
        )
    stuck = data.hard_coded(root)
    if stuck:
        raise ReproduceError(f"--data cannot lead the re-run elsewhere: {stuck[0]}. Nothing was executed.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
