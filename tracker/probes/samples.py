"""Keeps a few held-out samples with what the model says of them: numbers hide which mistakes it makes."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch

from .criterion import Criterion
from .data import Data
from .loaders import TRAIN
from .looked_at import Batch, LookedAt
from .nested import Aside
from .passes import Passes
from .probe import Pass, Probe
from .row_prints import beside
from .saliency import Asked, Call, CannotAsk, call_of, saliency_of
from .sample_facts import SampleFacts
from .sample_inputs import form_of
from .sample_texts import SampleTexts

WORST = 8
"""Samples with the largest losses that are told of an evaluation, at most."""

MOST_SPLITS = 4

_ALL, _OCTAVE = 40, 4
"""First evaluations that are all told; then two to the power of `_OCTAVE` in each doubling."""

_PATIENCE = 100
"""An evaluation that is not to be told is looked at when as many times what a look costs have passed since the last
one: it may be the last of the run."""

_DIMS_OF_SEQUENCES = 3


def is_told(number: int) -> bool:
    """Whether the `number`-th evaluation of a split, counted from 0, is told."""
    return number < _ALL or not number & ((1 << (number.bit_length() - 1 - _OCTAVE)) - 1)


class Samples(Probe):
    """A fixed set of held-out samples, and the worst mistakes: no pass is made for them, and no loader is asked.

    Fact `sample`, once for each that is kept: `{"id": of its inputs, "split", "why": "fixed" | "worst", "kind",
    "shape", "dtype", "input", "target"}`. `input` is, by kind, `{"height", "width", "channels", "pixels": bytes of
    (H, W, C) in base64, "low" and "high": what 0 and 255 stand for, "scale": every how many pixels}` of an `image`,
    `{"tokens"}`, `{"text"}`, `{"values", "name": argument}` of `numbers`, `{"values": channels of steps}` of `series`.

    Fact `predictions`, of an evaluation: `{"split", "fixed": [entry], "worst": [entry]}`, each entry `{"id", "target",
    "predicted", "top": [[class, probability], ...], "loss"}`, where `top` is there for classes. A class is a number; of
    a sequence there is a list, of up to 32 positions; of up to 8 numbers, or yes-or-no questions, a list as well; of
    more, null; so is what is no finite number. The loss is that of the training, of this sample alone: the mean over
    its positions, or where they are very many over some that are spread evenly. `worst` begins with the largest.

    The fixed ones are chosen in the first evaluation of a split, by a number made of their inputs (see `row_prints`),
    whatever their order: the smallest of those in its first batches, which later evaluations are sure to look at. They
    are known again by that number wherever they come; one that does not come, as the data is augmented or drawn anew,
    is not in the list. All evaluations are told at first, then ever fewer, and the last one that was looked at.
    With the setting `samples = 0` nothing is kept; of several processes, only rank 0 keeps its own.

    With the setting `saliency`, fact `saliency`, when the run is over, of so many fixed samples of the first split:
    `{"id", "method", "class": predicted, or null}` and, for an image, `"height", "width", "pixels"`: absolute values
    scaled to the largest, as bytes in base64, of the pixels that are kept of it; else `"values"`, laid out as the
    input's. The model, and its samples as it was given them, are held until then.
    """

    name = "samples"
    every_step = frozenset({"batch"})

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._most = int(training.session.settings.report.samples)
        self._looks: dict[str, LookedAt] = {}
        """Evaluations under way, by split."""
        self._passed_over: set[str] = set()
        """Splits whose evaluation that is under way is not looked at."""
        self._evaluations: dict[str, int] = {}
        self._fixed: dict[str, torch.Tensor] = {}
        """The numbers of the fixed samples of each split."""
        self._pictures: dict[str, tuple[int, int, int] | None] = {}
        """The shape of pictures that were laid flat, of each split; None where there are none."""
        self._waiting: list[LookedAt] = []
        """Evaluations that are on their way from a device."""
        self._last: dict[str, LookedAt] = {}
        self._untold: set[str] = set()
        """Splits whose last evaluation was not told."""
        self._facts = SampleFacts(training)
        self._texts = SampleTexts()
        self._time_first: weakref.WeakKeyDictionary[torch.nn.Module, bool] = weakref.WeakKeyDictionary()
        self._cost, self._looked_at = 0.0, 0.0
        self._saliency = int(training.session.settings.report.saliency) if self._most else 0
        self._call: Call | None = None
        self._asked: Asked | None = None

    def batch(self, iterator: Any, batch: Any) -> None:
        if self._most and (iterator._num_yielded == 1 or self._texts.is_of(iterator)):
            data = self.training.probe(Data)
            self._texts.note(iterator, batch, data.drawn if data is not None else None)

    # -- evaluation ------------------------------------------------------------------------------------------------

    def saw(
        self, split: str, call: Pass, criterion: Criterion, outputs: torch.Tensor, targets: torch.Tensor, dims: int
    ) -> None:
        """A batch of a held-out set was judged: outputs and targets as `Criterion.prepare` gives them.

        The model's own output had `dims` dimensions. Told with gradients and modes for functions off.
        """
        if not self._most or split in self._passed_over or split == TRAIN or self.training.session.place.is_member:
            return
        look = self._looks.get(split) or self._begin(split)
        if look is None:
            self._passed_over.add(split)
            return
        began = perf_counter()
        data = self.training.probe(Data)
        drawn = data.current if data is not None else None
        given = [(name, tensor) for name, tensor in call.given() if tensor.dim() and tensor.numel()]
        n = _samples_in([tensor for _, tensor in given], len(outputs), drawn.size if drawn is not None else 0)
        if n is None or (drawn is None and dims == _DIMS_OF_SEQUENCES and self._is_time_first(call.module)):
            self.training.unseen(
                "samples",
                "No held-out samples are kept: the first dimension of what the model is given and returns is not that "
                "of the samples, as far as can be told.",
            )
            return
        rows = [(name, tensor) for name, tensor in given if len(tensor) == n]
        name, main = max(rows, key=lambda one: one[1].numel())
        real = self._real(split, call, n, main, criterion) if self._saliency else {}
        look.add(
            Batch(
                criterion,
                outputs,
                targets,
                dims,
                main,
                form_of(name, main, look.form),
                beside(main, [tensor for _, tensor in rows]),
                self._texts.of(drawn, n),
                real,
            )
        )
        look.seconds += perf_counter() - began

    def _is_time_first(self, module: torch.nn.Module) -> bool:
        """Whether the first dimension may be that of time: a layer inside takes it so, and no loader tells."""
        found = self._time_first.get(module)
        if found is None:
            found = any(getattr(part, "batch_first", True) is False for part in module.modules())
            self._time_first[module] = found
        return found

    def _real(
        self, split: str, call: Pass, n: int, main: torch.Tensor, criterion: Criterion
    ) -> dict[str, torch.Tensor]:
        """What the model was given, where its samples are to be given to it again."""
        if self._asked is not None and self._asked.split != split:
            return {}
        try:
            self._call, real = call_of(call, n, main, criterion)
        except CannotAsk as error:
            self._say_no_saliency(error)
            return {}
        return real if self._asked is None else {}

    def _begin(self, split: str) -> LookedAt | None:
        """An evaluation begins; None when it is not looked at."""
        number = self._evaluations.get(split, -1) + 1
        if split not in self._evaluations and len(self._evaluations) >= MOST_SPLITS:
            return None
        if not is_told(number) and perf_counter() - self._looked_at < _PATIENCE * self._cost:
            return None
        self._take_home(wait=True)
        look = LookedAt(split, self._most, min(WORST, self._most), self._fixed.get(split))
        self._looks[split] = look
        return look

    def forget(self, split: str) -> None:
        """What was taken for the targets of a set are others: nothing is told of this evaluation."""
        self._looks.pop(split, None)

    def evaluated(self, split: str, step: int) -> None:
        """The evaluation of a set is over; it belongs to `step`."""
        self._passed_over.discard(split)
        number = self._evaluations[split] = self._evaluations.get(split, -1) + 1
        look = self._looks.pop(split, None)
        if look is None:
            return
        look.step, look.number = step, number
        look.send()
        self._waiting.append(look)
        self._take_home(wait=False)

    def _take_home(self, wait: bool) -> None:
        """Takes the evaluations that are there; with `wait`, all of them."""
        while self._waiting and (wait or self._waiting[0].is_there):
            look = self._waiting.pop(0)
            began = perf_counter()
            look.read()
            self._take(look)
            self._looked_at = perf_counter()
            self._cost = look.seconds + self._looked_at - began

    def _take(self, look: LookedAt) -> None:
        split = look.split
        if not look.worst:
            return
        if split not in self._fixed:
            self._fixed[split] = torch.tensor([row.number for row in look.fixed])
            self._pictures[split] = look.flat_picture()
            rows = [row for row in look.fixed if row.real][: self._saliency]
            if rows and self._asked is None:
                self._asked = Asked(split, self._pictures[split], rows)
        elif not look.fixed:
            self.training.unseen(
                "samples",
                "None of the held-out samples that were chosen came again in a later evaluation: the data is "
                "augmented, or drawn anew. How the answers to the same ones change is not known.",
            )
        look.picture = self._pictures[split]
        self._last[split] = look
        self._untold.add(split)
        if is_told(look.number):
            self._tell(look)

    def _tell(self, look: LookedAt) -> None:
        if self._facts.tell(look):
            self._untold.discard(look.split)

    # -- ends ------------------------------------------------------------------------------------------------------

    def end_epoch(self) -> None:
        if self._waiting:
            with Aside():
                self._take_home(wait=True)

    def begin_another(self) -> None:
        """What the next model is evaluated on may be another part of the data, by the same name."""
        self._tell_last()
        for known in (self._evaluations, self._fixed, self._pictures, self._last, self._looks):
            known.clear()

    def finish(self) -> None:
        self._facts.is_over = True
        with Aside():
            self._tell_last()
        self._looks, self._texts = {}, SampleTexts()
        if self._asked is not None and self._call is not None:
            self._ask(self._asked, self._call)
        self._asked = self._call = None

    def _tell_last(self) -> None:
        self._take_home(wait=True)
        for split, look in self._last.items():
            if split in self._untold:
                self._tell(look)
            elif self._facts.is_over:
                self._facts.keep(look)  # there was no room for some of them, perhaps

    def _ask(self, asked: Asked, call: Call) -> None:
        """Asks captum what the answers to some samples hang on, with the model as it is now."""
        passes = self.training.probe(Passes)
        if passes is not None:
            passes.release()  # it would take these for an evaluation
        if sys.exc_info()[0] is not None:
            return  # a run that failed, or is interrupted, ends at once
        said = {row.number: row.entry for look in self._last.values() for row in look.fixed}
        try:
            for row in asked.rows:
                self._facts.saliency(saliency_of(call, row, said.get(row.number, row.entry), asked.picture))
        except CannotAsk as error:
            self._say_no_saliency(error)

    def _say_no_saliency(self, reason: Exception) -> None:
        self.training.unseen("saliency", f"What the model's answers hang on is not told: {reason}.")


def _samples_in(given: Sequence[torch.Tensor], rows: int, drawn: int) -> int | None:
    """How many samples a batch has, of which the loss was given so many rows; None when that cannot be told.

    As many as the loader gave, or else as the largest input has rows, unless it was given with its first dimensions
    swapped; each must have as many answers as any other.
    """
    if not given or not rows:
        return None
    main = max(given, key=lambda tensor: tensor.numel())
    n = drawn if any(len(tensor) == drawn for tensor in given) else len(main)
    is_swapped = n != drawn and main.dim() > 1 and main.shape[1] == drawn
    return n if rows % n == 0 and not is_swapped else None
