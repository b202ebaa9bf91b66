"""What the rules found: each with what it saw, what to try, and when there is nothing to it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ...rules.engine.rule import Rule
from ..blocks import Block, Group, Section, Table, Text
from ..drills.plots import plots_of
from ..drills.rows import drill_of, rows_of
from ..findings.evidence import panels_of
from ..findings.facts import rows_of_facts
from ..findings.plots import draw
from ..findings.stories import SOURCES, WHY, WRONG, Story, measured_of, rule_named, story_of
from ..gathering.found import Found, found_in
from ..gathering.sources import Source

MOST_PLOTS, MOST_FOLDED_PLOTS, MOST_FINDINGS, MOST_SUBJECTS = 12, 5, 60, 12
TONES = {"fatal": "bad", "error": "bad", "warning": "warn", "info": ""}
SYMBOLS = {"fatal": "✖", "error": "✖", "warning": "▲", "info": "●"}


def sections(source: Source) -> Sequence[Section]:
    """One, with a group for each finding, the headline first; none where nothing was judged."""
    if not source.verdict:
        return []
    findings = found_in(source.verdict.get("findings"))
    suppressed = found_in(source.verdict.get("suppressed"))
    teller = _Teller(source)
    blocks: list[Block] = [teller.told(one, number) for number, one in enumerate(findings[:MOST_FINDINGS], 1)]
    if not findings:
        blocks.append(Text(("No rule found anything that is to be reported.",), "good"))
    elif len(findings) > MOST_FINDINGS:
        blocks.append(Text((f"{len(findings) - MOST_FINDINGS} more are in findings.json.",), "muted"))
    if suppressed:
        groups = [teller.told(one) for one in suppressed[:MOST_FINDINGS]]
        blocks.append(Group(f"Not reported, as the settings say ({len(suppressed)})", groups, folded=True))
    n_folded = sum(len(one.consequences) for one in findings)
    parts = [f"{len(findings)} found" if findings else "nothing found"]
    parts += [f"{n_folded} that follow from them"] if n_folded else []
    parts += [f"{len(suppressed)} not reported"] if suppressed else []
    return [Section("findings", "Findings", blocks, note=", ".join(parts))]


class _Teller:
    """Tells one finding after the other, and draws the first ones."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ends = source.gathered.epoch_ends()
        self._n_plots = self._n_folded = 0
        self._drills = {row.drill: row for row in rows_of(source)}
        """Those whose pictures stand with no finding yet."""

    def told(self, found: Found, number: int = 0, *, is_folded: bool = False) -> Group:
        """One finding as a group, numbered where it is not folded; what follows from it is folded within."""
        rule = rule_named(found.rule)
        story = story_of(rule)
        gathered = self._source.gathered
        outcome = gathered.outcomes.get(found.rule)
        outcome = outcome if isinstance(outcome, Mapping) else {}
        noticed = gathered.judged.fired_at.get(found.rule)
        blocks: list[Block] = [
            Text((found.message or "The finding has no message.",)),
        ]
        if not self._source.is_preflight:  # there, nothing has a time
            blocks.append(Text((_when(found, noticed, is_running=self._source.is_running),), "muted"))
        if len(found.subjects) > 1:
            more = f", and {len(found.subjects) - MOST_SUBJECTS} more" if len(found.subjects) > MOST_SUBJECTS else ""
            blocks.append(Text((", ".join(found.subjects[:MOST_SUBJECTS]) + more,), "muted", label="In"))
        if found.suppressed:
            blocks.append(Text((found.suppressed,), label="Not reported because"))
        blocks += self._shown(found, rule, outcome.get("thresholds"), is_folded=is_folded)
        rows = rows_of_facts(found, rule, gathered.facts)
        if rows:
            # Nothing else was looked at: it is what the plot cannot show. What drills measured stands in full below.
            is_all = rule is not None and not rule.needs and not self._source.is_preflight
            title = "What it was judged by"
            blocks.append(
                Table(("fact", "value"), rows, caption=title if is_all else "", folded="" if is_all else title)
            )
        if found.advice:
            label = "What to try, the likeliest first" if len(found.advice) > 1 else "What to try"
            blocks.append(Text(list(found.advice), is_list=True, label=label, is_ordered=len(found.advice) > 1))
        if wrong := story.under(WRONG):
            blocks.append(Text(wrong, label="When it is harmless."))
        about = list(_about(found, story))
        if about:
            blocks.append(Group("Why it matters, evidence and sources", about, folded=True))
        if found.consequences:
            names = ", ".join(dict.fromkeys(one.rule for one in found.consequences[:4]))
            more = ", …" if len(found.consequences) > 4 else ""
            title = f"Follows from it: {names}{more}"
            groups = [self.told(one, is_folded=True) for one in found.consequences[:MOST_FINDINGS]]
            blocks.append(Group(title, groups, folded=True))
        return Group(
            _title(found, number, is_folded=is_folded),
            blocks,
            badge=_badge(found, rule.family() if rule is not None else "", is_first=number == 1),
            tone="good" if found.resolved_at is not None else TONES.get(found.severity, ""),
            folded=is_folded,
        )

    def _shown(self, found: Found, rule: type[Rule] | None, thresholds: object, *, is_folded: bool) -> Iterator[Block]:
        drill = drill_of(rule)
        if drill:  # the loss of the training has nothing to do with it
            row = self._drills.pop(drill, None)
            yield from plots_of(self._source, row) if row is not None else ()
            return
        n_folded = self._n_folded + is_folded
        if self._n_plots >= MOST_PLOTS or n_folded > MOST_FOLDED_PLOTS:
            return
        gathered = self._source.gathered
        panels = panels_of(found, rule, thresholds, gathered)[: 1 if is_folded else None]
        key, noticed = f"finding-{self._n_plots}", gathered.judged.fired_at.get(found.rule)
        plot = draw(found, panels, self._ends, gathered.last_step, key, noticed)
        if plot is not None:
            self._n_plots += 1
            self._n_folded = n_folded
            yield plot


def _title(found: Found, number: int, *, is_folded: bool) -> str:
    """The rule behind its number; of what is folded also how its message begins, as that is all to be seen of it."""
    title = f"{f'{number}. ' if number else ''}{SYMBOLS.get(found.severity, '●')} {found.rule}"
    if not is_folded or not found.message:
        return title
    return f"{title}: {textwrap.shorten(found.message, 110, placeholder=' …')}"


def _badge(found: Found, family: str, *, is_first: bool) -> str:
    parts = ["headline"] if is_first and found.resolved_at is None else []
    parts += [found.severity, family]
    parts += ["gone by the end"] if found.resolved_at is not None else []
    return " · ".join(part for part in parts if part)


def _when(found: Found, noticed: int | None, *, is_running: bool) -> str:
    """Since when, until when, and how often."""
    if found.first_step is None:
        return "When it was found is not known."
    epoch = f" in epoch {found.first_epoch + 1}" if found.first_epoch is not None else ""
    if noticed is not None and noticed > found.first_step:
        epoch = f", noticed at step {noticed}{epoch}"
    times = f", found {found.count} times" if found.count > 1 else ""
    if found.resolved_at is not None:
        return f"From step {found.first_step}{epoch}{times}; at step {found.resolved_at} it was gone."
    return f"From step {found.first_step}{epoch}{times}; it stands {'so far' if is_running else 'at the end'}."


def _about(found: Found, story: Story) -> Iterator[Block]:
    if story.about:
        yield Text((story.about,))
    if why := story.under(WHY):
        yield Text(why, label="Why it matters.")
    if measured := measured_of(found.rule):
        yield Text((f"On programs whose faults are known: {measured}.",), label="How far to trust it.")
    if found.evidence:
        rows = [(name.replace("_", " "), f"{value:.6g}") for name, value in list(found.evidence.items())[:30]]
        yield Table(("evidence", "value"), rows, numeric=frozenset({1}))
    if sources := story.under(SOURCES):
        yield Text(sources, "muted", is_list=True, label="Sources")
