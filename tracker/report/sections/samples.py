"""Samples to look at: the same ones at each evaluation, the worst mistakes, and the first filters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...rules.engine.signals import LOSS, TARGET_ERROR, TARGET_SPREAD, VAL_LOSS
from ...rules.engine.tables import number, table, tables, text
from ..blocks import Block, Code, Group, Plot, Section, Table, Text, Tile, Tiles
from ..classes.names import names_of_classes
from ..drawing.figures import as_svg
from ..drawing.lines import shortened
from ..gathering.sources import Source
from ..samples.filters import filters_of
from ..samples.held_out import Entry, Look, looks_at, samples_of, sets_in
from ..samples.histories import History, Moments, Stubborn, histories, stubborn
from ..samples.plots import pairs, regression_figure
from ..samples.tiles import Drawer, aligned, share_right

_SEQUENCES = 6
_FIXED = 0.6
"""Part of the room for pictures that the fixed samples may take: the worst mistakes come after them."""
_PICTURE, _SERIES, _GRID = 80, 140, 208
"""Widths in CSS pixels."""


def sections(source: Source) -> Sequence[Section]:
    """One, for a run that was watched as it trained."""
    gathered = source.gathered
    if not source.is_ours or not (gathered.curves or gathered.predictions):
        return []
    when = Moments(gathered)
    drawer = Drawer(samples_of(gathered), gathered.saliency, names_of_classes(source), when)
    blocks = _numbers(source)
    sets = sets_in(gathered)
    for split in sets[:2]:
        blocks += _of_set(drawer, looks_at(gathered, split), when, "" if split == "val" else f" of the set '{split}'")
    note = "" if sets else _absent(source)
    if len(sets) > 2:
        blocks.append(Text((f"Samples of {len(sets) - 2} further sets were kept and are not shown.",), "muted"))
    blocks += _filters(source, when)
    blocks += _remarks(source, drawer, has_samples=not note)
    return [Section("samples", "Samples", blocks, note)] if blocks or note else []


# -- the samples of a set ---------------------------------------------------------------------------------------------


def _of_set(drawer: Drawer, looks: Sequence[Look], when: Moments, of: str) -> list[Block]:
    if not looks:
        return []
    blocks: list[Block] = []
    told = histories(looks)
    here = [one for one in told if one.steps[-1] == looks[-1].step]
    if here:
        here.sort(key=lambda one: one.now.is_right is not False)
        shown = _shown(drawer, [(one.now, one) for one in here])
        says = [_says_of_fixed(here, looks, when), *_says_of_missing(len(told) - len(here))]
        blocks.append(Group(f"The same held-out samples{of} at each evaluation", (Text(says), *shown)))
    elif told:
        blocks.append(Text(_says_of_missing(len(told)), "muted"))
    worst = looks[-1].worst
    if worst:
        again = {one.entry.id: one for one in stubborn(looks)}
        shown = _shown(drawer, [(one, None) for one in worst], again)
        lines = [f"Largest loss first, {when(looks[-1].step)}.", *_says_of_stubborn(list(again.values()), drawer)]
        what = "worst mistakes" if any(one.is_right is False for one in worst) else "largest losses"
        blocks.append(Group(f"The {what}{of} of the last evaluation", (Text(lines), *shown)))
    return blocks


def _says_of_fixed(told: Sequence[History], looks: Sequence[Look], when: Moments) -> str:
    judged = [one for one in told if one.now.is_right is not None]
    times = f"{len(looks)} evaluations" if len(looks) > 1 else "one evaluation"
    says = f"{len(told)} samples, {times}, the last one {when(looks[-1].step)}"
    if not judged:
        return f"{says}."
    if not all(isinstance(one.now.predicted, int) for one in judged):
        shares = [share_right(one.now) for one in judged]
        return f"{says}: {100 * sum(shares) / len(shares):.3g} % of the positions are right."
    right = sum(one.now.is_right is True for one in judged)
    says += f": {right} of {len(judged)} are right"
    if len(looks) == 1:
        return f"{says}."
    says += f" now, {sum(one.entries[0].is_right is True for one in judged)} were at first"
    never = sum(not one.was_right() for one in judged)
    lost = sum(one.now.is_right is False and one.was_right() > 0 for one in judged)
    says += f"; never right: {never}" if never else ""
    return f"{says}; right before and not now: {lost}." if lost else f"{says}."


def _says_of_missing(missing: int) -> list[str]:
    if not missing:
        return []
    which = "One sample that was" if missing == 1 else f"{missing} samples that were"
    return [
        f"{which} chosen at first did not come in the last evaluation: held-out data that is "
        "augmented, or drawn anew, gives other inputs each time."
    ]


def _says_of_stubborn(found: Sequence[Stubborn], drawer: Drawer) -> list[str]:
    """Which labels are worth a look; that is not to say that they are wrong."""
    doubtful = [one for one in found if one.is_contradicted]
    if not doubtful:
        return []
    said = "; ".join(
        f"one labelled {drawer.answer(one.entry.target)} is called {drawer.answer(one.entry.predicted)} each time"
        for one in doubtful[:4]
    )
    return [
        f"Worth a look whether the label or the model is wrong, as the model is sure of the same other answer in "
        f"evaluation after evaluation: {said}."
    ]


def _shown(
    drawer: Drawer, told: Sequence[tuple[Entry, History | None]], again: dict[str, Stubborn] | None = None
) -> list[Block]:
    """Tiles for what can be drawn, lines for sequences, a row for anything else."""
    tiles: list[Tile] = []
    rows: list[tuple[str, ...]] = []
    sequences: list[str] = []
    width = _PICTURE
    for entry, history in told:
        more = []
        if again is not None:
            more += [f"loss {entry.loss:.3g}"] if entry.loss is not None and entry.predicted is not None else []
            of = again.get(entry.id)
            more += [f"among the worst {of.times} of {of.of} times"] if of is not None else []
        if drawer.is_drawn(entry.id):
            tile = drawer.tile(entry, history, more, 1.0 if again is not None else _FIXED)
            width = _SERIES if tile.curves else width
            tiles.append(tile)
        elif entry.is_of_classes and isinstance(entry.predicted, list):
            went = "; ".join(drawer.trail(history)) if history is not None else "; ".join(more)
            head = f"{drawer.input(entry.id)}\n" if entry.id and len(sequences) < _SEQUENCES else ""
            sequences.append(f"input: {head}{aligned(entry)}\n{went}".rstrip())
        else:
            input_, true, said, went, loss = drawer.row(entry, history)
            rows.append((input_, true, said, went or "; ".join(more[1:] if entry.loss is not None else more), loss))
    blocks: list[Block] = []
    if tiles:
        blocks.append(Tiles(tiles, size=width))
    if sequences:
        text_ = "\n\n".join(sequences[:_SEQUENCES])
        left = f"The first {_SEQUENCES} of {len(sequences)}; " if len(sequences) > _SEQUENCES else ""
        blocks.append(Code(text_, f"{left}labels of each position; ^ marks what differs."))
    if rows:
        blocks.append(_table(rows, is_folded=again is None and all(drawer.is_numbers(one.id) for one, _ in told)))
    return blocks


def _table(rows: Sequence[tuple[str, ...]], is_folded: bool) -> Table:
    """The rows, without columns in which there is nothing."""
    heads = ("input", "true", "predicted", "over the evaluations", "loss")
    kept = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    numeric = frozenset(kept.index(place) for place in (1, 2, 4) if place in kept)
    cells = [tuple(row[place] for place in kept) for row in rows]
    folded = f"The {len(rows)} samples and what was said of them" if is_folded else ""
    return Table([heads[place] for place in kept], cells, folded=folded, numeric=numeric)


# -- numbers that are predicted ---------------------------------------------------------------------------------------


def _numbers(source: Source) -> list[Block]:
    """Predicted against true values, and the error over the evaluations."""
    gathered = source.gathered
    known = [one for one in gathered.subjects(TARGET_ERROR.name) if one != "train"] or ["train"]
    split = "val" if "val" in known else known[0]
    error, spread = gathered.curve(TARGET_ERROR.name, split), gathered.curve(TARGET_SPREAD.name, split)
    looks = [one for one in looks_at(gathered, split) if one.fixed]
    first, last = (list(looks[place].fixed.values()) if looks else [] for place in (0, -1))
    if any(text(one.get("function")).startswith("binary") for one in tables(gathered.facts.get("loss"))):
        first, last = [], []  # answers yes or no: two heaps, and no line to lie on
    now = pairs(last)
    if len(now) < 3:
        first, last, now = [], [], []
    if error is not None and len(error) < 2:
        error = None
    if error is None and not now:
        return []
    says = []
    if now:
        off = float(np.sqrt(np.mean([(true - said) ** 2 for true, said in now])))
        says.append(f"The {len(now)} values of the samples that are followed are off by {off:.3g} (root mean square)")
    if error is not None:
        where = "held-out data" if split == "val" else "training" if split == "train" else f"set '{split}'"
        line = f"the error on {where} goes from {error.means[0]:.4g} to {error.means[-1]:.4g}"
        best = int(np.argmin(error.means))
        if error.means[best] < 0.98 * error.means[-1]:
            line += f", least at step {error.steps[best]:,.0f}: {error.means[best]:.4g}"
        if spread is not None and spread.means[-1] > 0:
            line += f"; always answering the mean would be off by {spread.means[-1]:.4g}"
        says.append(line)
    sentence = f"{'; '.join(says)}."
    sentence = sentence[0].upper() + sentence[1:]
    svg = as_svg(regression_figure(first, last, error, spread, gathered.epoch_ends()), sentence, "regression")
    return [Plot(svg, "Predicted against true values, and the error (in units of the target)", sentence)]


# -- filters ----------------------------------------------------------------------------------------------------------


def _filters(source: Source, when: Moments) -> list[Block]:
    found = filters_of(source.gathered)
    if not found:
        return []
    layer = shortened(found[-1].layer, 40)
    shown = [found[0], found[-1]] if len(found) > 1 else found
    most = max(float(np.abs(one.values).max()) for one in shown)
    tiles = [
        Tile(
            one.picture(most, _GRID),
            alt=f"{one.kept} filters of {layer}, {one.height} x {one.width}, {when(one.step)}",
            lines=(
                ("first, " if place == 0 and len(shown) > 1 else "last, " if len(shown) > 1 else "") + when(one.step),
            ),
        )
        for place, one in enumerate(shown)
    ]
    last = found[-1]
    says = f"{last.kept} of {last.count} filters" if last.count > last.kept else f"{last.kept} filters"
    says += f" of {layer}, {last.height} x {last.width}"
    says += ": colours as in the picture" if last.channels == 3 else ": blue below zero, red above"
    if len(shown) > 1:
        changed = last.change_from(found[0])
        says += f". They changed by {100 * changed:.3g} % of their size" + (
            ": the first layer has hardly learned" if changed < 0.02 else ""
        )
    return [Group("Filters of the first layer", (Tiles(tiles, f"{says}.", _GRID),))]


# -- what is not there ------------------------------------------------------------------------------------------------


def _absent(source: Source) -> str:
    """Why there are no samples."""
    gathered = source.gathered
    asked = table(table(table(source.captured.get("run.json")).get("settings")).get("report")).get("samples")
    if number(asked) == 0:
        return "No samples were kept: samples = 0 in [tool.tracker.report]."
    unseen = table(gathered.facts.get("unseen"))
    for what in ("samples", "evaluation"):
        if text(unseen.get(what)):
            return text(unseen.get(what))[:500]
    if gathered.curve(LOSS.name) is None:
        return ""
    if gathered.curve(VAL_LOSS.name) is None:
        yet = "yet " if source.is_running else ""
        return f"No evaluation of held-out data was {yet}seen, so there are no samples to look at."
    return "This run has no samples of its held-out data."


def _remarks(source: Source, drawer: Drawer, has_samples: bool) -> list[Block]:
    lines, gathered = [], source.gathered
    unseen = table(gathered.facts.get("unseen"))
    for what in ("samples", "sample inputs", "predictions", "saliency") if has_samples else ("saliency",):
        if text(unseen.get(what)):
            lines.append(text(unseen.get(what))[:500])
    if drawer.left_out:
        lines.append(f"{drawer.left_out} pictures are not shown: the page would become too large.")
    if has_samples and not gathered.saliency and drawer.has_pictures and not text(unseen.get("saliency")):
        lines.append("What mattered in them is shown where it is asked for: saliency = 4 in [tool.tracker.report].")
    if drawer.has_maps:
        lines.append("Bright places of the second picture mattered most for the answer (captum, Saliency).")
    return [Text(lines, "muted")] if lines else []
