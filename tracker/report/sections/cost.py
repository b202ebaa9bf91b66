"""What observing cost, what was looked at less for it, and what went wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...rules.engine.signals import OVERHEAD, STEP_SECONDS
from ..blocks import Block, Plot, Section, Table, Text
from ..drawing.figures import SERIES, as_svg, new_figure
from ..drawing.lines import shortened
from ..gathering.found import is_number
from ..gathering.sources import Source

SHORT = 60.0
"""Seconds of training below which a share of the time says little: there, two seconds may be spent in all."""
MOST_ROWS = 30


def sections(source: Source) -> Sequence[Section]:
    """One for a run of ours; of those of other code nothing was observed."""
    if not source.is_ours:
        return []
    blocks = [*_share(source), *_sampling(source), *_faults(source), *_lost(source)]
    return [Section("cost", "What observing cost", blocks)] if blocks else []


def _share(source: Source) -> Iterator[Block]:
    gathered = source.gathered
    curve = gathered.curve(OVERHEAD.name)
    if curve is None or curve.last is None:
        yield Text(("What observing cost was not measured: no epoch was complete.",), "muted")
        return
    share, trained = float(curve.means[-1]), _seconds(source)
    if trained is None:
        yield Text((f"Observing took {share:.1%} of the time of the training.",))
    elif trained < SHORT:
        spent = min(share, 1.0) * trained
        yield Text(
            (
                f"The training took {trained:.2g} s, observing about {spent:.1g} s of it: in so short a run the first "
                "close looks are most of the cost, and a share says nothing of a longer one.",
            )
        )
    else:
        most = float(curve.highs.max())
        at = f"; at most {most:.1%} up to then" if most > 1.2 * share else ""
        yield Text((f"Observing took {share:.1%} of the training's {trained:.0f} s, {share * trained:.1f} s{at}.",))
    if len(curve) > 2 and trained is not None and trained >= SHORT:
        figure, axes = new_figure(height=1.5)
        axes.plot(curve.steps, 100 * curve.means, color=SERIES[0])
        axes.set_ylim(0, max(1.0, 105 * float(curve.means.max())))
        axes.set_xlabel("step")
        axes.set_ylabel("% of the time")
        says = (
            f"Share of the time spent in observing, since the start: {curve.means[0]:.1%} after the first epoch, "
            f"{share:.1%} at the end."
        )
        yield Plot(as_svg(figure, says, "cost"), "Share of the time spent in observing", says)


def _seconds(source: Source) -> float | None:
    """How long the steps took in all, by the mean of a usual epoch and their number."""
    curve = source.gathered.curve(STEP_SECONDS.name)
    if curve is None or not source.gathered.last_step:
        return None
    return float(np.median(curve.means)) * (source.gathered.last_step + 1)


def _sampling(source: Source) -> Iterator[Block]:
    changes = [
        (event.step, int(every))
        for event in source.gathered.about_us
        if event.name == "sampling" and isinstance(every := event.data.get("every"), (int, float)) and is_number(every)
    ]
    if not source.gathered.last_step:
        return
    first = "Gradients, weights and outputs were looked at closely at the first 10 steps, then at every 10th"
    if not changes:
        yield Text((f"{first}. Losses and rates were read at every step.",))
        return
    step, every = changes[-1]
    fewest = max(number for _, number in changes)
    sparser = f"; at the sparsest at every {fewest}th" if fewest > every else ""
    yield Text(
        (
            f"{first}; from step {step} on at every {every}th{sparser}, to keep the cost within its budget. Losses and "
            "rates were read at every step.",
        )
    )
    if len(changes) > 1:
        rows = [(f"from step {at}", f"every {number}th") for at, number in changes[-MOST_ROWS:]]
        yield Table(("when", "looked at closely"), rows, folded=f"The {len(changes)} changes of the sampling")


def _faults(source: Source) -> Iterator[Block]:
    rows = [
        (str(event.data.get("part") or "?"), str(event.data.get("reason") or "no reason was given"), event.step)
        for event in source.gathered.about_us
        if event.name == "fault"
    ]
    unseen = source.gathered.facts.get("unseen")
    missing = [(str(what), str(why)) for what, why in (unseen.items() if isinstance(unseen, Mapping) else ())]
    if rows:
        text = f"{len(rows)} parts of ours failed and were switched off; the training went on without them."
        yield Text((text,), "warn")
        headers = ("part", "what went wrong", "step")
        yield Table(headers, rows[:MOST_ROWS], caption="Faults of ours", numeric=frozenset({2}))
    else:
        yield Text(("No part of the observing failed.",), "good")
    if missing:
        yield Table(("what", "why"), missing[:MOST_ROWS], caption="What could not be seen in this program")


def _lost(source: Source) -> Iterator[Block]:
    counts = [event.data.get("readings") for event in source.gathered.about_us if event.name == "dropped"]
    lost = [int(count) for count in counts if isinstance(count, (int, float)) and is_number(count)]
    if lost:
        text = f"{max(lost):,} readings were lost: the disk was full, or the journal at its largest size."
        yield Text((text,), "bad")
    if source.gathered.left_out:
        told = ", ".join(f"{shortened(name)} of {count:,}" for name, count in sorted(source.gathered.left_out.items()))
        yield Text((f"Too many to be shown here, and left out of this page: {told} more subjects.",), "muted")
