"""What there is to know in half a minute: the verdict, what it rests on, the key numbers, how to do it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from ...rules.engine.signals import LOSS, MEMORY
from ..blocks import Banner, Block, Code, Facts, Section, Table, Text
from ..gathering.found import Found, found_in, is_number
from ..gathering.sources import Source
from ..training.numbers import rows_of_numbers

MOST_NAMED, MOST_GAPS = 8, 3
_WORDS = {
    "true": ("Suspicious", "⚠", "bad"),
    "false": ("Not suspicious", "✓", "good"),
    "unknown": ("Could not be judged", "?", "warn"),
}
_SCOPES = {
    "process": "in the same process",
    "host": "on this machine, with the packages it has",
    "env-rebuilt": "on this machine, with the packages installed anew",
    "other-host": "on another machine",
}
_GRADES = {
    "R0": "What it was computed with is not known: it cannot be done again.",
    "R1": "What it was computed with is known, but for what is named here.",
    "R2": "Code, data and packages can be restored. That it comes to the same numbers is shown by doing it again:",
    "R3": "It was done again, and ended the same way; not all numbers agree.",
    "R4": "It was done again, and all numbers agree within rounding.",
    "R5": "It was done again, and every number is the same, bit for bit.",
}


def sections(source: Source) -> Sequence[Section]:
    """Always one."""
    blocks: list[Block] = [_failed(source, _verdict(source))]
    rows = rows_of_numbers(source.gathered)
    if rows:
        headers = ("", "first", "best", "at step", "last")
        blocks.append(Table(headers, rows, caption="Key numbers", numeric=frozenset({1, 2, 3, 4})))
    facts = list(_facts(source))
    if facts:
        blocks.append(Facts(facts))
    blocks += _grade(source)
    return [Section("summary", source.name or "Run", blocks, note=_note(source))]


def _note(source: Source) -> str:
    parts = [f"Experiment {source.experiment}"] if source.experiment else []
    parts.append(f"run {source.run_id}")
    if source.is_running:
        last = source.gathered.last_time
        when = f", {datetime.fromtimestamp(last, timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if last else ""
        parts.append(f"goes on; as of {_standing(source)}{when}")
    return " · ".join(parts)


def _standing(source: Source) -> str:
    ends = source.gathered.epoch_ends()
    step = f"step {source.gathered.last_step}"
    return f"epoch {len(ends)} ({step})" if ends else step


# -- verdict -------------------------------------------------------------------------------------------------------


def _verdict(source: Source) -> Banner:
    verdict = source.verdict
    findings = found_in(verdict.get("findings"))
    said = verdict.get("suspicious")
    if not verdict:
        by = "The training was not judged" if source.is_ours else "This run was logged by other code and not judged"
        return Banner("Not judged", "?", "warn", (f"{by}. Judge it with: tracker check {source.run_id}",))
    word, symbol, tone = _WORDS.get(str(said), _WORDS["unknown"])
    if source.is_running:
        word += " so far"
    if str(said) != "true" or not findings:
        lines = [f"{_sentence(verdict.get('why'))}"] if verdict.get("why") else []
        lines += [f"Noted: {_names(findings)}."] if findings else []
        return Banner(word, symbol, tone, lines)
    return Banner(f"{word}: {findings[0].rule}", symbol, tone, list(_headline(findings)))


def _headline(findings: Sequence[Found]) -> Iterator[str]:
    head = findings[0]
    yield _sentence(head.message)
    named = [f"class {one}" if one.isdigit() else one for one in head.subjects[:3]]
    where = f"In {', '.join(named)}" if named else "In the run as a whole"
    where += f" and {len(head.subjects) - 3} more" if len(head.subjects) > 3 else ""
    yield f"{where}; {_since(head)}."
    if head.advice:
        yield f"First thing to try: {_sentence(head.advice[0])}"
    if head.consequences:
        yield f"It explains: {_names(head.consequences)}."
    if len(findings) > 1:
        yield f"Also found: {_names(findings[1:])}."


def _since(found: Found) -> str:
    if found.first_step is None:
        return f"a finding of severity {found.severity}"
    gone = f", gone at step {found.resolved_at}" if found.resolved_at is not None else ""
    return f"{found.severity} since step {found.first_step}{gone}"


def _names(findings: Sequence[Found]) -> str:
    names = list(dict.fromkeys(one.rule for one in findings))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _sentence(text: object) -> str:
    words = str(text or "").strip()
    return words if not words or words[-1] in ".!?:…" else f"{words}."


def _failed(source: Source, banner: Banner) -> Banner:
    """The same, with how the run ended in front where it did not end as it should."""
    if source.status in ("FINISHED", "RUNNING", "SCHEDULED", ""):
        return banner
    how = f": {_sentence(source.how)}" if source.how else "."
    word = f"{source.status.capitalize()}; {banner.word[:1].lower()}{banner.word[1:]}"
    return replace(
        banner, word=word, symbol="✖", tone="bad", lines=(f"Ended at {_standing(source)}{how}", *banner.lines)
    )


# -- facts ---------------------------------------------------------------------------------------------------------


def _facts(source: Source) -> Iterator[tuple[str, object]]:
    gathered = source.gathered
    ends = len(gathered.epoch_ends())
    if ends:
        yield "Epochs", ends
    loss = gathered.curve(LOSS.name)
    if loss is not None and loss.last is not None:
        yield "Steps", f"{loss.last[0] + 1:,}"
    first, last = source.started or gathered.first_time, source.ended or gathered.last_time
    if is_number(first) and is_number(last) and first is not None and last is not None and last >= first:
        yield ("Running for" if source.is_running else "Duration"), lasting(last - first)
    if source.started is not None and is_number(source.started):
        moment = datetime.fromtimestamp(source.started, timezone.utc)
        yield "Started", moment.strftime("%Y-%m-%d %H:%M UTC")
    if model := _model(gathered.facts.get("model")):
        yield "Model", model
    if optimizer := _optimizer(gathered.facts.get("optimizer")):
        yield "Optimizer", optimizer
    if machine := _machine(source):
        yield "Machine", machine
    if source.status:
        yield "Status", source.status


def lasting(seconds: float) -> str:
    """A time in words: `2 h 5 min`, `3 min 20 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _model(value: object) -> str:
    models = [one for one in value.values() if isinstance(one, Mapping)] if isinstance(value, Mapping) else []
    told = []
    for model in models[:3]:
        count, trained = model.get("parameters"), model.get("trainable")
        words = str(model.get("class") or "model")
        if isinstance(count, int):
            words += f", {count:,} parameters"
            words += f" ({trained:,} trained)" if isinstance(trained, int) and trained != count else ""
        told.append(words)
    return "; ".join(told) + (f"; {len(models) - 3} more" if len(models) > 3 else "")


def _optimizer(value: object) -> str:
    tables = value if isinstance(value, list) else [value]
    told = []
    for one in [one for one in tables if isinstance(one, Mapping)][:3]:
        groups = one.get("groups")
        group: Any = groups[0] if isinstance(groups, list) and groups else {}
        rate = group.get("lr") if isinstance(group, Mapping) else None
        told.append(str(one.get("class") or "optimizer") + (f", rate {rate:g}" if is_number(rate) else ""))
    return "; ".join(told)


def _machine(source: Source) -> str:
    environment = source.captured.get("environment.json")
    hardware = environment.get("hardware") if isinstance(environment, Mapping) else None
    if not isinstance(hardware, Mapping):
        return ""
    gpus, cpu = hardware.get("gpus"), hardware.get("cpu")
    names = [
        str(one.get("name") or "GPU") if isinstance(one, Mapping) else str(one)
        for one in (gpus if isinstance(gpus, list) else ())
    ]
    used = bool(source.gathered.subjects(MEMORY.name).get("cuda"))
    told = [f"{len(names)} × {names[0]}{'' if used else ' (no memory of it was used)'}"] if names else []
    if isinstance(cpu, Mapping) and cpu.get("model"):
        cores = cpu.get("usable_cores")
        told.append(f"{cpu['model']}{f', {cores} cores' if isinstance(cores, int) else ''}")
    return "; ".join(told)


# -- doing it again ------------------------------------------------------------------------------------------------


def _grade(source: Source) -> Iterator[Block]:
    grade = str(source.proof.get("grade") or source.tags.get("repro.grade") or "")
    if not grade:
        if not source.is_ours:
            text = "What it was computed with was not captured: train it with tracker run to be able to do it again."
            yield Text((text,), "muted", label="Reproducibility.")
        elif source.is_running:
            yield Text(("The grade is given when the run has ended.",), "muted", label="Reproducibility.")
        return
    scope = _SCOPES.get(str(source.proof.get("scope") or source.tags.get("repro.scope") or ""), "")
    means = _GRADES.get(grade[:2], str(source.proof.get("meaning") or ""))
    within = f" ({scope})" if scope else ""
    tone = "bad" if grade == "R0" else "warn" if grade == "R1" else "good"
    yield Text((f"{grade}{within}. {means}",), tone, label="Reproducibility.")
    gaps = source.proof.get("gaps")
    missing = [one for one in (gaps if isinstance(gaps, list) else ()) if isinstance(one, Mapping)]
    missing.sort(key=lambda one: not one.get("blocking"))
    if missing:
        lines = [f"{_sentence(one.get('what'))} {_sentence(one.get('fix'))}".strip() for one in missing[:MOST_GAPS]]
        lines += [f"And {len(missing) - MOST_GAPS} more."] if len(missing) > MOST_GAPS else []
        yield Text(lines, is_list=True, label="What is missing, and what to do")
    if grade != "R0" and source.is_ours:
        yield Code(f"tracker reproduce {source.run_id}")
