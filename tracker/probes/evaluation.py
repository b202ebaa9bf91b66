"""Judges the model on held-out data, as the training loop evaluates it, even when the script only prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..rules.engine.signals import SCORE, SCORE_GAIN, SCORE_GAIN_PER_BATCH, SCORE_SUM
from .answers import Answers
from .criterion import Mismatch
from .data import Data
from .gains import Counter, counters_in, gains
from .loaders import TRAIN
from .nested import Aside, may_compute
from .passes import Passes
from .probe import Pass, Probe
from .samples import Samples
from .scores import results_in, scores_in
from .tally import Tally
from .training_score import TrainingScore
from .triple import Triple

if TYPE_CHECKING:
    from ..rules.engine.records import Json

_MOST_NAMES = 8
_MOST_PASSES = 4
"""Passes of loaders that are followed at a time: an evaluation within an epoch makes two."""


class Begun(NamedTuple):
    """What was known when a loader began a pass."""

    judged: dict[str, tuple[int, int, int]]
    """Samples, answers and batches of each set that were judged since training."""
    counters: dict[str, Counter]
    backwards: int

    def samples_judged(self, split: str, tally: Tally | None, batches: int) -> list[int]:
        """How many samples were judged meanwhile; none unless each batch was judged once, and one answer a sample.

        With further models in the same loop, or passes that were left out, there are more or fewer.
        """
        if tally is None:
            return []
        before = self.judged.get(split, (0, 0, 0))
        samples, rows, passes = (
            now - then for now, then in zip((tally.samples, tally.rows, tally.batches), before, strict=True)
        )
        return [samples] if samples == rows and passes == batches else []


class Evaluation(Probe):
    """The triple (inputs, outputs, targets), learned from training steps, and the score of passes without gradients.

    On closely watched steps the loss tells which output of the model it was given, what was done to it in between, and
    which element of the batch (or argument, or variable of the user's) has its targets. The loss is then computed
    once more from that, and compared with the script's own: what does not agree is not used.

    Each pass without gradients of the trained model, or of a copy of it, is judged with the same loss. Its score is
    written when training goes on, or the epoch or the run ends, at the last step that was completed:

    - VAL_LOSS, the mean over the batches, weighted by their sizes (not weighted for a loss that is a sum over the
      batch); VAL_ACCURACY; TARGET_ERROR and TARGET_SPREAD `val`;
      RECALL `val/<class>` for up to 100 classes, and PREDICTIONS `val`, as an array; CONFUSION `val` for up to 30
      classes and CONFUSED `val` for more, of the first sixteen, of ever fewer later, and of the last one.
    - The first held-out set has the subject '' in VAL_LOSS and VAL_ACCURACY and is called `val` elsewhere. Further
      ones, in the order in which they are first evaluated, are `val2`, `val3` in all of them. Sets are told apart by
      their loader, or by the variable their inputs come from.
    - With these readings, a metric of the same meaning that the user logs (`val_loss`) is not taken for the signal: one
      measure of the same thing stands, the measured one.
    - For the training, RECALL, PREDICTIONS, CONFUSION, TARGET_ERROR and TARGET_SPREAD `train` cover the closely watched
      steps of the epoch.

    SCORE is what the script itself computed in the meantime, where a variable is called an accuracy. SCORE_GAIN is what
    it counted, or summed up, while a loader went over a set, read behind the last batch; only where all of the batches
    were judged here too, and each sample has one answer, or where each batch was trained on.

    Passes over the training data without gradients are not written. Fact `evaluation`: `{"target": where the targets
    come from, "change": what became of them, "loss": its function, "part": the loss of the training has further terms,
    "factor": what it is multiplied with in the training (`loss / 4`; VAL_LOSS is not), None where not seen,
    "verified": the loss agrees with the script's, "sets": {"val": {"samples", "source": "loader" | "by hand",
    "partial": in some evaluation passes were
    left out}}}`, with the samples of the first evaluation of each; `train` is there when training
    data is evaluated, with the `names` of the loaders or variables it is found in, the `results` that calls which
    evaluate it are assigned to, and the `unused` loaders that the script has beside it and takes no batch of.
    """

    name = "evaluation"
    every_step = frozenset({"backward"})

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._triple = Triple(training)
        self._open: dict[str, Tally] = {}
        self._sources: dict[str, str] = {}
        self._sets: dict[str, dict[str, Json]] = {}
        self._answers = Answers(self.journal)
        self._training_score = TrainingScore()
        self._open_names: set[tuple[str, ...]] = set()
        """Names of the training data that is being evaluated."""
        self._lengths: dict[str, int] = {}
        """Lengths of the user's lists of accuracies, at the last evaluation."""
        self._begun: dict[int, Begun] = {}
        """Passes of iterators, by their `id`, that are under way."""

    # -- passes ----------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        self._triple.begin()

    def end_close(self) -> None:
        self._triple.end()

    def root_forward(self, call: Pass) -> None:
        if not may_compute():
            return
        with Aside():
            if not call.has_grad:
                self._evaluate(call)
            elif self.training.close:
                self._triple.note(call)

    def begin_pass(self, iterator: Any) -> None:
        """A loader gave the first batch of a pass."""
        self._begun.pop(id(iterator), None)
        if self._triple.verified is not True or not may_compute():
            return
        judged = {split: (tally.samples, tally.rows, tally.batches) for split, tally in self._open.items()}
        with Aside():
            self._begun[id(iterator)] = Begun(judged, counters_in(sys._getframe()), self.training.backwards)
        while len(self._begun) > _MOST_PASSES:
            del self._begun[next(iter(self._begun))]

    def end_pass(self, iterator: Any) -> None:
        """It has no more batches: what the script counted of them is complete."""
        begun, data, batches = self._begun.pop(id(iterator), None), self.training.probe(Data), iterator._num_yielded
        loader = data.loader_of(iterator) if data is not None and begun is not None else None
        if begun is None or loader is None or loader.split is None or not may_compute():
            return
        if loader.split == TRAIN:
            samples = loader.samples_in(batches) if self.training.backwards - begun.backwards == batches else []
        else:
            samples = begun.samples_judged(loader.split, self._open.get(loader.split), batches)
        if not samples:
            return
        with Aside():
            after = counters_in(sys._getframe(), begun.counters)
        step = self.training.last_step
        for name, value, is_whole, is_of_samples in gains(
            begun.counters, after, samples, batches, loader.split == TRAIN
        ):
            if is_of_samples:
                self.journal.reading(SCORE_GAIN.name, f"{loader.split}/{name}", step, value / samples[0])
            if not is_whole:
                self.journal.reading(SCORE_GAIN_PER_BATCH.name, f"{loader.split}/{name}", step, value / batches)
                self.journal.reading(SCORE_SUM.name, f"{loader.split}/{name}", step, value)

    # -- learning from the training ---------------------------------------------------------------------------------

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        if self._open:
            self._close()
        if self._open_names:
            self._open_names.clear()
        if self._answers.waiting:
            self._answers.write(wait=False)
        if not self.training.close or not may_compute():
            return
        with Aside():
            node = self.training.loss_node
            if node is not None:
                self._training_score.add(node)
            if self._triple.learn(node, tensor, loss):
                self._say()

    def _say_unmatched(self, reason: str) -> None:
        self.training.unseen("evaluation", f"Held-out data is not judged: {reason}.")

    # -- evaluation ------------------------------------------------------------------------------------------------

    def _evaluate(self, call: Pass) -> None:
        triple, data = self._triple, self.training.probe(Data)
        criterion = triple.criterion
        if criterion is None or data is None or triple.verified is None:
            return
        drawn = data.current
        if drawn is None and data.is_within_step:
            return  # a teacher's pass, say, over the batch that is about to be trained on
        # A copy, of averaged weights, say, is evaluated as well; made by hand, such a pass may be anything.
        if not triple.is_trained(call.module, or_alike=drawn is not None):
            return
        try:
            outputs, targets, output = triple.pair(call, criterion)
        except Mismatch as error:
            if not self._sets:
                self._say_unmatched(str(error))
            return
        split = drawn.loader.split if drawn is not None else triple.variables.split_of(call, data, sys._getframe())
        if split is None or (drawn is None and len(output) < 2):
            return
        self._sources[split] = "loader" if drawn is not None else "by hand"
        if split == TRAIN:
            names = [str(drawn.loader.described.get("name") or "")] if drawn is not None else triple.variables.names
            self._note_names(names, data)
            return
        tally = self._open.get(split)
        if tally is None:
            tally = self._open[split] = Tally(criterion)
        try:
            tally.add(outputs, targets, len(output) if output.dim() else 1)
        except Mismatch as error:
            self._pass_over(split, error)
        else:
            self._tell_samples("saw", split, call, criterion, outputs, targets, output.dim())

    def _tell_samples(self, moment: str, *arguments: Any) -> None:
        """Tells the probe that keeps samples; a fault there is its own."""
        samples = self.training.probe(Samples)
        if samples is not None:
            self.training._tell([(samples, getattr(samples, moment))], *arguments)

    def _pass_over(self, split: str, error: Mismatch) -> None:
        """What looked like the targets of a set are others: nothing is told of this evaluation of it."""
        self._open.pop(split, None)
        self._tell_samples("forget", split)
        if split not in self._sets:
            self._say_unmatched(str(error))

    def _note_names(self, names: list[str], data: Data) -> None:
        """Training data is evaluated, under these names."""
        if tuple(names) in self._open_names:
            return  # said for this evaluation
        self._open_names.add(tuple(names))
        # Not by a variable of ours: a frame that knows itself, and the user's tensors in it, wait for the collector.
        results, unused = results_in(sys._getframe()), data.unused_loaders(sys._getframe())
        known = self._sets.get(TRAIN, {})
        told: dict[str, Json] = {"source": self._sources[TRAIN]}
        for key, found in (("names", names), ("results", results), ("unused", unused)):
            before = known.get(key)
            merged = dict.fromkeys([*(before if isinstance(before, list) else []), *found])
            kept: list[Json] = [name for name in list(merged)[:_MOST_NAMES] if name]
            told[key] = kept
        if told != known:
            self._sets[TRAIN] = told
            self._say()

    def _close(self) -> None:
        """The evaluation is over."""
        tallies, self._open = self._open, {}
        step = self.training.last_step
        if tallies and may_compute():
            with Aside():
                scores = scores_in(sys._getframe(), self._lengths)
            for name, value in scores.items():
                self.journal.reading(SCORE.name, name, step, value)
        passes = self.training.probe(Passes)
        is_partial = passes is not None and passes.budget.left_out > 0
        with Aside():
            for split, tally in tallies.items():
                try:
                    answer = tally.ask()
                except Mismatch as error:
                    self._pass_over(split, error)
                    continue
                if answer is not None:
                    self._answers.waiting.append((split, step, answer))
                    self._tell_samples("evaluated", split, step)
                    known = self._sets.setdefault(
                        split, {"samples": tally.samples, "source": self._sources[split], "partial": False}
                    )
                    if is_partial:
                        self._sets[split] = {**known, "partial": True}
        self._say()

    def end_epoch(self) -> None:
        if self._triple.verified is None and self._triple.reason:
            self._say_unmatched(self._triple.reason)
        self._close()
        self._answers.write(wait=True)
        answer = self._training_score.take()
        if answer is not None:
            self._answers.write_details(TRAIN, self.training.last_step, answer.read())

    def begin_another(self) -> None:
        self._answers.conclude()

    def finish(self) -> None:
        self.end_epoch()
        self._answers.conclude()

    def _say(self) -> None:
        criterion = self._triple.criterion
        if criterion is None or criterion.target is None:
            return
        target = criterion.target
        self.training.fact(
            "evaluation",
            {
                "target": f"{target.source} {target.path}",
                "change": target.change,
                "loss": criterion.function,
                "part": criterion.is_part,
                "factor": self._triple.factor,
                "verified": bool(self._triple.verified),
                "sets": {split: dict(known) for split, known in self._sets.items()},
            },
        )
