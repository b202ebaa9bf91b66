"""Which classes are recognised, which are taken for which, and how frequent and how heavy each one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...rules.engine.tables import number, tables
from ..blocks import Block, Group, Plot, Section, Table, Text
from ..classes.confusions import Confusion, Mistake, commonest, confusions
from ..classes.facts import Classes, classes_of, listed, recalls, relation, splits, weighed
from ..classes.names import ClassNames
from ..classes.plots import MOST_LINES, MOST_ROWS, bars_figure, matrix_figure, recall_figure, weights_figure
from ..drawing.figures import as_svg
from ..gathering.sources import Source

_MISTAKES = 8
_BETTER = 0.01
"""How much more accurate an earlier evaluation must be to be shown beside the last."""
_LEARNED_BY_HEART = 0.05
"""How much more accurate the training must be to be shown beside held-out data."""
_COLLAPSED, _PLENTY = 0.9, 0.8
"""Share of the predictions that one class has in a collapse, unless it has as many of the samples."""
_WIDE = 0.15
"""How much higher recall in training must be to be named."""


def sections(source: Source) -> Sequence[Section]:
    """One, for a training that classifies; none otherwise."""
    classes = classes_of(source)
    if classes is None:
        return []
    parts = (_answered, _matrices, _mistakes, _further, _recall, _frequencies, _weights, _numbers)
    blocks = [block for part in parts for block in part(classes)]
    return [Section("classes", "Classes", blocks, _note(classes))] if blocks else []


def _note(classes: Classes) -> str:
    notes = []
    if classes.split == "train":
        notes.append("No evaluation of held-out data was seen: this is of training batches.")
    elif not classes.split:
        total = max((number(one.get("n_classes")) or 0 for one in _losses(classes)), default=0)
        notes.append(
            f"Recall and mistakes are counted for up to 100 classes; the loss has {total:.0f}."
            if total > 100
            else "No predictions were seen: neither held-out data nor the training could be judged class by class."
        )
    if classes.are_questions:
        notes.append("Each is answered with yes or no for itself; recall is the share of the yes that were found.")
    return " ".join(notes)


def _losses(classes: Classes) -> list[Any]:
    return tables(classes.source.gathered.facts.get("loss"))


def _set(split: str) -> str:
    return {"train": "training batches", "val": "held-out data"}.get(split, f"held-out data '{split}'")


def _percent(share: float, digits: int = 3) -> str:
    """A share, without rounding what is not all up to all."""
    if 0.995 <= share < 1:
        return f"{min(100 * share, 99.99):.4g} %"
    return f"{100 * share:.{digits}g} %" if share < 1 else "100 %"


# -- what is predicted at all -----------------------------------------------------------------------------------------


def _answered(classes: Classes) -> list[Block]:
    """Says where a model answers with few of the classes only."""
    said, there = classes.predicted, classes.there
    if said is None or classes.are_questions or len(said) < 2:
        return []
    top = int(np.argmax(said))
    share = float(said[top] / said.sum())
    of_samples = float(there[top] / there.sum()) if there is not None else None
    lines = []
    is_collapsed = share >= _COLLAPSED and (of_samples is None or of_samples < _PLENTY)
    if is_collapsed:
        of = f", which is {_percent(of_samples)} of the samples" if of_samples is not None else ""
        only = "One answer only" if share == 1 else "Almost one answer only"
        lines.append(f"{only}: {_percent(share)} of the predictions are class {classes.names(top)}{of}.")
    never = [str(one) for one in range(len(said)) if said[one] == 0 and (there is None or there[one] > 0)]
    if never:
        of = (
            f"of the {len(said)} classes"
            if there is None
            else f"of the {int((there > 0).sum())} classes that are there"
        )
        lines.append(f"Never predicted, {len(never)} {of}: {listed(never, classes.names)}.")
    return [Text(lines, "bad" if is_collapsed else "warn")] if lines else []


# -- who is taken for whom --------------------------------------------------------------------------------------------


def _matrices(classes: Classes) -> list[Block]:
    last = classes.last
    if last is None:
        return []
    best = max(classes.matrices, key=lambda one: one.accuracy)
    shown = [(f"Confusion at the end, {_set(classes.split)}", last)]
    training = confusions(classes.source.gathered, "train") if classes.split != "train" else []
    if best.accuracy > last.accuracy + _BETTER:
        shown.append((f"Confusion when it was best, {_set(classes.split)}", best))
    elif training and training[-1].accuracy > last.accuracy + _LEARNED_BY_HEART:
        shown.append((f"Confusion at the end, {_set('train')}", training[-1]))
    found: list[Block] = []
    for place, (title, one) in enumerate(shown):
        says = _says_of(one, classes.names)
        svg = as_svg(matrix_figure(one, classes.names), says, f"confusion-{place}")
        found.append(Plot(svg, title, says, is_small=True))
    return found


def _says_of(one: Confusion, names: ClassNames) -> str:
    right = round(one.accuracy * one.samples)
    says = f"Of {one.samples:,} answers at step {one.step:,}, {right:,} ({_percent(one.accuracy)}) are right"
    often = float(one.there.max() / one.there.sum())
    if one.accuracy < min(1.5 * often, 1.0):
        says += f", where always answering {names(int(np.argmax(one.there)))} would be in {_percent(often)}"
    worst = one.mistakes(1)
    return f"{says}; the commonest mistake: {_mistake(worst[0], names)}." if worst else f"{says}."


def _mistake(one: Mistake, names: ClassNames) -> str:
    times = "once" if one.times == 1 else f"{one.times:,.0f} times"
    share = f", {_percent(one.share, 2)} of all {names(one.true)}" if one.share is not None else ""
    return f"{names(one.true)} taken for {names(one.predicted)}: {times}{share}"


def _mistakes(classes: Classes) -> list[Block]:
    found = classes.last.mistakes(_MISTAKES) if classes.last is not None else []
    many = commonest(classes.source.gathered, classes.split)
    if not found and many is not None:
        found = many[1][:_MISTAKES]
    if len(found) < 2 and many is None:
        return []  # the one there is was told with the matrix
    said = [_mistake(one, classes.names) for one in found]
    return [Group("Commonest mistakes", (Text(said, is_list=True),))]


def _further(classes: Classes) -> list[Block]:
    """A line for each further set of held-out data."""
    gathered = classes.source.gathered
    lines = []
    for split in [one for one in splits(gathered) if one not in (classes.split, "train")][:4]:
        matrices, found = confusions(gathered, split), recalls(gathered, split)
        if matrices:
            lines.append(f"{_set(split)}: {_says_of(matrices[-1], classes.names)}")
        elif found:
            mean = float(np.mean([float(values[-1]) for _, values in found.values()]))
            lines.append(f"{_set(split)}: recall at the end, mean over {len(found)} {classes.plural}: {mean:.2f}.")
    return [Text([line[0].upper() + line[1:] for line in lines])] if lines else []


# -- recall -----------------------------------------------------------------------------------------------------------


def _recall(classes: Classes) -> list[Block]:
    found, names = recalls(classes.source.gathered, classes.split), classes.names
    if not found:
        return []
    last = {name: float(values[-1]) for name, (_, values) in found.items()}
    lowest = ", ".join(f"{names(name)} {value:.2f}" for name, value in list(last.items())[:3])
    mean = float(np.mean(list(last.values())))
    says = f"Recall at the end, mean over {len(found)} {classes.plural}: {mean:.2f}"
    says += f"; lowest: {lowest}." if min(last.values()) < 1 else "."
    if len(found) == 1:
        says = f"Recall at the end of the one {classes.word} that is there: {mean:.2f}."
    zero = [name for name, value in last.items() if value == 0]
    if zero and len(zero) < len(found):
        says += f" Never recognised at the end: {listed(zero, names)}."
    forgotten = [n for n, (_, values) in found.items() if values.max() >= 0.5 and values[-1] < 0.5 * values.max()]
    if forgotten:
        says += f" Was at least twice as high before: {listed(forgotten, names)}."
    says += _beside_training(classes, last)
    if max(len(steps) for steps, _ in found.values()) < 2:
        return [Text((says,), "muted")]
    figure = recall_figure(found, names, classes.source.gathered.epoch_ends(), "step")
    title = f"Recall of each {classes.word} over the evaluations, {_set(classes.split)} (share, 0 to 1)"
    if len(found) > MOST_ROWS:
        title = (
            f"Recall of the {MOST_ROWS} worst of {len(found)} {classes.plural}, {_set(classes.split)} (share, 0 to 1)"
        )
    elif 3 < len(found) <= MOST_LINES:
        says += " The lowest have a colour; grey are the others."
    return [Plot(as_svg(figure, says, "recall"), title, says)]


def _beside_training(classes: Classes, last: dict[str, float]) -> str:
    """The classes that are known in the training, but not on held-out data."""
    if classes.split == "train":
        return ""
    training = {name: float(of[1][-1]) for name, of in recalls(classes.source.gathered, "train").items()}
    wide = sorted((n for n, value in last.items() if training.get(n, 0) > value + _WIDE), key=lambda n: last[n])[:3]
    if not wide:
        return ""
    said = ", ".join(f"{classes.names(name)} {training[name]:.2f} against {last[name]:.2f}" for name in wide)
    return f" Much higher in training than held out: {said}."


# -- counts and weights -----------------------------------------------------------------------------------------------


def _frequencies(classes: Classes) -> list[Block]:
    """Bars: how often each class is there and is predicted, and how often training has it."""
    names, said, there, counts = classes.names, classes.predicted, classes.there, classes.counts
    answered = "answered with yes" if classes.are_questions else "predicted"
    says: list[str] = []
    of: dict[str, dict[str, float]] = {}
    if len(counts) > 1:
        of["labels of the training"] = dict(counts)
    if there is not None:
        of[f"true, {_set(classes.split)}"] = {str(n): float(one) for n, one in enumerate(there)}
    if said is not None:
        of[f"{answered}, {_set(classes.split)}"] = {str(n): float(one) for n, one in enumerate(said)}
        top = int(np.argmax(said))
        says.append(f"{answered.capitalize()} most often: {names(top)}, {_percent(float(said[top] / said.sum()))}")
        says[-1] += " of all yes" if classes.are_questions else " of the answers"
        if there is not None:
            says[-1] += f"; it is {_percent(float(there[top] / there.sum()))} of the samples"
    if len(counts) > 1:
        says.append(_says_of_counts(counts, names))
    if not of:
        return []
    shares = {name: {label: n / (sum(one.values()) or 1.0) for label, n in one.items()} for name, one in of.items()}
    order = dict.fromkeys(label for one in shares.values() for label in one)
    if len(order) > MOST_ROWS:
        apart = {label: np.ptp([one.get(label, 0.0) for one in shares.values()]) for label in order}
        kept = set(sorted(order, key=lambda label: -apart[label])[:MOST_ROWS])
        order = {label: None for label in order if label in kept}
    series = [(name, [100 * one.get(label, 0.0) for label in order]) for name, one in shares.items()]
    sentence = ". ".join(says) + "."
    title = "How often each question is answered with yes" if classes.are_questions else "How frequent each class is"
    figure = bars_figure([names(label, 9) for label in order], series, classes.word, "share, in %")
    return [Plot(as_svg(figure, sentence, "frequencies"), f"{title} (share, in %)", sentence)]


def _says_of_counts(counts: Any, names: ClassNames) -> str:
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] <= 1.2 * counts[least]:
        of_each = (
            f"{counts[least]:,.0f}" if counts[most] == counts[least] else f"{counts[least]:,.0f} to {counts[most]:,.0f}"
        )
        return f"Training has {of_each} labels of each of {len(counts)} classes"
    ratio = f"{counts[most] / counts[least]:.3g} times as many as of" if counts[least] else "and none of"
    return f"Training has {counts[most]:,.0f} labels of {names(most)}, {ratio} {names(least)}"


def _weights(classes: Classes) -> list[Block]:
    weights, counts, names = classes.weights, classes.counts, classes.names
    if not weights:
        return []
    if len(weights) == 1 and len(counts) == 2 and min(counts.values()) > 0:
        weight, (no, yes) = next(iter(weights.values())), counts.values()
        return [Text((f"Weight of the answer yes: {weight:.4g}; training has {no / yes:.4g} no for each yes.",))]
    both = weighed(counts, weights)
    words, tone = relation(both)
    if not words:
        return [Text((f"Class weights: {', '.join(f'{names(n)} {w:.4g}' for n, w in list(weights.items())[:20])}.",))]
    sentence = f"Weights against counts: {words}."
    if max(n for n, _ in both.values()) < 1.2 * min(n for n, _ in both.values()):
        return [Text((sentence,), tone)]
    of_labels, of_weights = zip(*both.values(), strict=True)
    svg = as_svg(weights_figure([names(n, 9) for n in both], of_labels, of_weights), sentence, "class-weights")
    return [Plot(svg, "Weights of the classes in the loss (both axes logarithmic)", sentence, is_small=True)]


# -- the numbers ------------------------------------------------------------------------------------------------------


def _numbers(classes: Classes) -> list[Block]:
    """One row for each class, the lowest recall first."""
    gathered, last, said = classes.source.gathered, classes.last, classes.predicted
    held_out = recalls(gathered, classes.split)
    training = recalls(gathered, "train") if classes.split != "train" else {}
    weights = {name: weight for name, (_, weight) in weighed(classes.counts, classes.weights).items()}
    if not weights and len(classes.weights) > 1:
        weights = dict(classes.weights)
    columns = [
        ("labels in training", {n: f"{v:,.0f}" for n, v in classes.counts.items()}),
        ("weight", {n: f"{v:.4g}" for n, v in weights.items()}),
        ("recall in training", {n: f"{of[-1]:.3f}" for n, (_, of) in training.items()}),
        ("samples", {str(n): f"{v:,.0f}" for n, v in enumerate(last.there if last is not None else ())}),
        ("predicted", {str(n): f"{v:,.0f}" for n, v in enumerate(said if said is not None else ())}),
        ("recall", {n: f"{of[-1]:.3f}" for n, (_, of) in held_out.items()}),
        ("precision", {str(n): _precision(v) for n, v in enumerate(last.precision if last is not None else ())}),
    ]
    kept = [(head, cells) for head, cells in columns if cells]
    order = list(dict.fromkeys([*held_out, *(name for _, cells in kept for name in cells)]))
    if len(kept) < 2:
        return []
    rows = [(classes.names(name), *(cells.get(name, "") for _, cells in kept)) for name in order[:MOST_ROWS]]
    which = f"The numbers of each {classes.word}"
    if len(order) > MOST_ROWS:
        which = f"The numbers of {MOST_ROWS} of {len(order)} {classes.plural}, the lowest recall first"
    heads = (classes.word, *(head for head, _ in kept))
    return [Table(heads, rows, folded=which, numeric=frozenset(range(1, len(heads))))]


def _precision(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"
