"""Held-out samples as things to look at: a picture or a small curve with what was said of it, or a row of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...rules.engine.tables import number, table, text
from ..blocks import Tile
from ..classes.names import ClassNames
from ..console.characters import one_line
from ..drawing.pictures import heat, png, stored_pixels
from .held_out import Answer, Entry, Sample
from .histories import History, Moments

_MOST_TOKENS, _MOST_NUMBERS, _MOST_LETTERS = 24, 8, 300
_MOST_CHANNELS, _MOST_TIMES = 4, 128
_SHORT = 3
"""Letters of the names of classes up to which a history names the class at each evaluation."""


class Drawer:
    """Draws samples, until pictures have taken as much of a page as they may."""

    MOST_LETTERS = 500_000
    """Base64 of all pictures together."""

    def __init__(
        self, samples: Mapping[str, Sample], saliency: Mapping[str, Mapping[str, Any]], names: ClassNames, when: Moments
    ) -> None:
        self._samples = samples
        self._saliency = saliency
        self._names = names
        self._when = when
        self._letters = 0
        self.left_out = 0
        """Pictures that were too many."""
        self.has_maps = False
        """Whether any picture that was drawn has a map of what mattered beside it."""

    @property
    def has_pictures(self) -> bool:
        """Whether any picture was drawn."""
        return self._letters > 0

    def is_drawn(self, name: str) -> bool:
        """Whether a sample is a picture or a curve."""
        sample = self._samples.get(name)
        return sample is not None and sample.kind in ("image", "series")

    def is_numbers(self, name: str) -> bool:
        """Whether a sample is a row of numbers: worth less to the eye than how well it is predicted."""
        sample = self._samples.get(name)
        return sample is not None and sample.kind == "numbers"

    def tile(self, entry: Entry, history: History | None, more: Sequence[str] = (), share: float = 1.0) -> Tile:
        """A picture or a curve, and below it what was said; a picture, while `share` of the room is not used up."""
        sample = self._samples.get(entry.id)
        told = self.told(entry)
        sizes = "x".join(str(one) for one in sample.shape) if sample is not None else ""
        what = "picture" if sample is not None and sample.kind == "image" else "series"
        lines = (told, *more, *(self.trail(history) if history is not None else ()))
        picture, overlay = self._picture(sample, share)
        curves = curves_of(sample.input.get("values")) if sample is not None and sample.kind == "series" else ()
        stand_in = "" if picture or curves else "not kept" if sample is None else "not shown"
        alt = f"{what} {sizes}: {told}"
        return Tile(picture, stand_in, alt, lines, tone_of(entry), overlay, curves)

    def _picture(self, sample: Sample | None, share: float) -> tuple[str, str]:
        """A picture, and what mattered in it."""
        if sample is None or sample.kind != "image":
            return "", ""
        given = sample.input
        pixels = stored_pixels(given.get("pixels"), given.get("height"), given.get("width"), given.get("channels"))
        if pixels is None or pixels.shape[2] not in (1, 3):
            return "", ""
        picture = png(pixels)
        said = table(self._saliency.get(sample.id))
        mattered = stored_pixels(said.get("pixels"), said.get("height"), said.get("width"))
        overlay = png(heat(mattered)) if mattered is not None else ""
        if self._letters + len(picture) + len(overlay) > share * self.MOST_LETTERS:
            self.left_out += 1
            return "", ""
        self._letters += len(picture) + len(overlay)
        self.has_maps |= bool(overlay)
        return picture, overlay

    # -- words ----------------------------------------------------------------------------------------------------

    def row(self, entry: Entry, history: History | None) -> tuple[str, ...]:
        """Input, truth, answer, and how it went, as cells."""
        sure = f" ({entry.sureness:.2f})" if entry.sureness is not None else ""
        went = "; ".join(self.trail(history)) if history is not None else ""
        mark = {True: "✓ ", False: "✗ ", None: ""}[entry.is_right]
        loss = f"{entry.loss:.3g}" if entry.loss is not None else ""
        return (
            self.input(entry.id),
            self.answer(entry.target),
            f"{mark}{self.answer(entry.predicted)}{sure}",
            went,
            loss,
        )

    def told(self, entry: Entry) -> str:
        """What was said of a sample, in a line."""
        sure = f" ({entry.sureness:.2f})" if entry.sureness is not None else ""
        said, true = self.answer(entry.predicted), self.answer(entry.target)
        if entry.is_right:
            return f"✓ {said}{sure}"
        if entry.is_right is False:
            return f"✗ said {said}{sure}, is {true}"
        if entry.predicted is None and entry.target is None:
            return f"loss {entry.loss:.3g}" if entry.loss is not None else "nothing was told of it"
        return f"said {said}{sure}, is {true}"

    def answer(self, given: Answer) -> str:
        """A class by its name, or numbers."""
        if isinstance(given, int):
            return self._names(given)
        if given is None:
            return "–"
        said = ", ".join(f"{one:.3g}" for one in given[:_MOST_NUMBERS])
        return f"{said}, …" if len(given) > _MOST_NUMBERS else said

    def input(self, name: str) -> str:
        """A sample that is not drawn, as text."""
        sample = self._samples.get(name)
        if sample is None:
            return "not kept"
        given = sample.input
        if sample.kind == "text":
            return _cut(text(given.get("text")))
        values = given.get("tokens") if sample.kind == "tokens" else given.get("values")
        if not isinstance(values, list):
            return "not readable"
        if sample.kind == "tokens":
            return _tokens(values)
        said = " ".join("–" if (n := number(one)) is None else f"{n:.3g}" for one in values[:_MOST_NUMBERS])
        rest = f" … ({len(values)})" if len(values) > _MOST_NUMBERS else ""
        return f"{said}{rest}{self._mattered(name, values)}"

    def _mattered(self, name: str, values: Sequence[Any]) -> str:
        """Which three values mattered most, where that was asked."""
        given = table(self._saliency.get(name)).get("values")
        weights = [number(one) or 0.0 for one in given] if isinstance(given, list) else []
        if not weights or len(weights) > len(values) or not any(weights):
            return ""
        most = sorted(range(len(weights)), key=lambda place: -abs(weights[place]))[:3]
        return f"; mattered most: number {', '.join(str(place + 1) for place in most)}"

    def trail(self, history: History) -> tuple[str, ...]:
        """How a sample went over the evaluations, in one or two lines."""
        n = len(history.entries)
        if n < 2:
            return ()
        some = history.some()
        if history.now.is_right is None:
            losses = history.losses
            if history.now.predicted is None and len(losses) > 1:
                return (f"at first {losses[0]:.3g}",)
            return (f"loss {losses[0]:.2g} → {losses[-1]:.2g}",) if len(losses) > 1 else ()
        if not isinstance(history.now.predicted, int):
            return (f"right {' '.join(f'{100 * share_right(one):.0f}' for one in some)} %",)
        said = [self.answer(one.predicted) for one in some]
        if max(map(len, said)) > _SHORT:
            said = [one for place, one in enumerate(said) if not place or one != said[place - 1]]
            return " → ".join(said[-4:]), self._since(history)
        return " ".join(said), self._since(history)

    def _since(self, history: History) -> str:
        n, right, place = len(history.entries), history.was_right(), history.right_since()
        if place == 0:
            return "right each time"
        if place is not None:
            return f"right since {self._when(history.steps[place])}"
        if not right:
            return f"never right in {n} evaluations"
        return f"right in {right} of {n}, not now"


def tone_of(entry: Entry) -> str:
    """`good` or `bad`; none where that cannot be told."""
    return {True: "good", False: "bad", None: ""}[entry.is_right]


def share_right(entry: Entry) -> float:
    """Share of the positions of a sequence that are right, 0 to 1; those without a label are left out."""
    pairs = [(true, said) for true, said in _positions(entry) if true >= 0]
    return sum(true == said for true, said in pairs) / len(pairs) if pairs else 0.0


def aligned(entry: Entry, width: int = 16) -> str:
    """True and predicted labels of a sequence below each other, with marks below those that differ."""
    pairs = list(_positions(entry))
    cells = [("–" if true < 0 else f"{true:.0f}", f"{said:.0f}", true < 0 or true == said) for true, said in pairs]
    room = max((len(one) for cell in cells for one in cell[:2]), default=1) + 1
    lines = []
    for start in range(0, len(cells), width):
        part = cells[start : start + width]
        lines.append("true      " + "".join(true.rjust(room) for true, _, _ in part))
        lines.append("predicted " + "".join(said.rjust(room) for _, said, _ in part))
        marks = "".join(("" if is_right else "^").rjust(room) for _, _, is_right in part)
        lines.append(f"          {marks}".rstrip())
    return "\n".join(line for line in lines if line)


def _positions(entry: Entry) -> Iterable[tuple[float, float]]:
    if not isinstance(entry.target, list) or not isinstance(entry.predicted, list):
        return []
    return [one for one in zip(entry.target, entry.predicted, strict=False) if all(map(math.isfinite, one))]


def curves_of(values: Any) -> tuple[str, ...]:
    """Points of a small curve for each channel of a series, in a box of 100 x 40; none of what has no numbers."""
    rows = values[:_MOST_CHANNELS] if isinstance(values, list) else []
    channels = [[number(one) for one in row[:_MOST_TIMES]] for row in rows if isinstance(row, list)]
    known = [one for row in channels for one in row if one is not None]
    if not known:
        return ()
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    return tuple(
        " ".join(
            f"{100 * place / max(len(row) - 1, 1):.1f},{38 - 36 * (one - low) / span:.1f}"
            for place, one in enumerate(row)
            if one is not None
        )
        for row in channels
    )


def _tokens(values: Sequence[Any]) -> str:
    """The first tokens; what a sequence is filled up with at its end stands there once."""
    kept = len(values)
    while kept > 1 and values[kept - 1] == values[kept - 2]:
        kept -= 1
    shown = values[: min(kept if len(values) - kept > 2 else len(values), _MOST_TOKENS)]
    said = " ".join("–" if (n := number(one)) is None else f"{n:.0f}" for one in shown)
    return f"{said} … ({len(values)})" if len(shown) < len(values) else said


def _cut(given: str) -> str:
    line = one_line(given[:10_000])
    return line if len(line) <= _MOST_LETTERS else f"{line[: _MOST_LETTERS - 1]}…"
