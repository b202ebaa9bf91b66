"""Judges the model on held-out data, as the training loop evaluates it, even when the script only prints."""

from __future__ import annotations

import math
import sys
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..rules.engine.signals import PREDICTIONS, RECALL, SCORE, TARGET_ERROR, TARGET_SPREAD, VAL_ACCURACY, VAL_LOSS
from .by_hand import Variables
from .criterion import Criterion, Mismatch, Outputs, Place, Target, change_between, start_of, way
from .data import TRAIN, Data
from .loss import find_loss_node, unscaled
from .nested import Aside, may_compute, tensors_in
from .nodes import kind
from .passes import Passes
from .probe import Pass, Probe
from .scores import results_in, scores_in
from .tally import Answer, Score, Tally

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .loss import LossNode

_ATTEMPTS = 20
"""Closely watched losses after which a triple that was never found is given up."""

_TOLERANCE = 1e-3
"""Relative difference between the script's loss and ours, computed from what was matched, that still is the same."""

_TOLERANCE_OF_HALVES = 2e-2
"""The same for a loss in float16 or bfloat16, which has two to three digits."""

_INDEXED = 3
"""Attempts to find nameless targets among the rows of a variable: each may take some milliseconds."""

_MOST_PASSES = 8
_MOST_NAMES = 8
_WRAPPERS = ("DistributedDataParallel", "DataParallel")


class _Noted(NamedTuple):
    """A training pass; nothing of it is kept alive."""

    module: weakref.ref[Any]
    places: Outputs
    arguments: list[tuple[str, weakref.ref[torch.Tensor]]]


Candidates = list[tuple[str, str, torch.Tensor]]
"""Tensors that may be the targets: source and path, as in `Target`."""


class Evaluation(Probe):
    """The triple (inputs, outputs, targets), learned from training steps, and the score of passes without gradients.

    On closely watched steps the loss tells which output of the model it was given, what was done to it in between, and
    which element of the batch (or argument, or variable of the user's) has its targets. The loss is then computed
    once more from that, and compared with the script's own: what does not agree is not used.

    Each pass without gradients of the trained model, or of a copy of it, is judged with the same loss. Its score is
    written when training goes on, or the epoch or the run ends, at the last step that was completed:

    - VAL_LOSS, the mean over the batches, weighted by their sizes (not weighted for a loss that is a sum over the
      batch); VAL_ACCURACY; TARGET_ERROR and TARGET_SPREAD `val`;
      RECALL `val/<class>` for up to 100 classes, and PREDICTIONS `val`, as an array.
    - The first held-out set has the subject '' in VAL_LOSS and VAL_ACCURACY and is called `val` elsewhere. Further
      ones, in the order in which they are first evaluated, are `val2`, `val3` in all of them. Sets are told apart by
      their loader, or by the variable their inputs come from.
    - With these readings, a metric of the same meaning that the user logs (`val_loss`) is not taken for the signal: one
      measure of the same thing stands, the measured one.
    - For the training, RECALL, PREDICTIONS, TARGET_ERROR and TARGET_SPREAD `train` cover the closely watched steps of
      the epoch.

    SCORE is what the script itself computed in the meantime, where a variable is called an accuracy.

    Passes over the training data without gradients are not written. Fact `evaluation`: `{"target": where the targets
    come from, "change": what became of them, "loss": its function, "part": the loss of the training has further terms,
    "factor": what it is multiplied with in the training (`loss / 4`; VAL_LOSS is not), "verified": the loss agrees with
    the script's, "sets": {"val": {"samples", "source": "loader" | "by hand", "partial": in some evaluation passes were
    left out}}}`, with the samples of the first evaluation of each; `train` is there when training
    data is evaluated, with the `names` of the loaders or variables it is found in, the `results` that calls which
    evaluate it are assigned to, and the `unused` loaders that the script has beside it and takes no batch of.
    """

    name = "evaluation"
    every_step = frozenset({"backward"})

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._criterion: Criterion | None = None
        self._verified: bool | None = None
        self._factor = 1.0
        self._attempts = 0
        self._indexed = 0
        self._reason = ""
        """Why nothing was matched so far."""
        self._outputs: deque[_Noted] = deque(maxlen=_MOST_PASSES)
        self._expected: float | None = None
        self._trained: weakref.ref[Any] | None = None
        self._open: dict[str, Tally] = {}
        self._sources: dict[str, str] = {}
        self._sets: dict[str, dict[str, Json]] = {}
        self._answers: list[tuple[str, int, Answer]] = []
        self._train: Tally | None = None
        self._trained_with: tuple[str, int | None] = ("", None)
        self._variables = Variables()
        self._open_names: set[tuple[str, ...]] = set()
        """Names of the training data that is being evaluated."""

    # -- passes ----------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        self._outputs.clear()
        self._expected = None

    def end_close(self) -> None:
        self._outputs.clear()

    def root_forward(self, call: Pass) -> None:
        if not may_compute():
            return
        with Aside():
            if not call.has_grad:
                self._evaluate(call)
            elif self.training.close:
                self._note(call)

    def _note(self, call: Pass) -> None:
        """A training pass: its outputs are known again in the graph of the loss."""
        places: Outputs = {}
        for path, tensor in tensors_in(call.output, "output"):
            if tensor.grad_fn is not None and tensor.dim():
                places[kind(tensor.grad_fn), tensor.grad_fn._sequence_nr()] = Place(path, tuple(tensor.shape))
        if not places:
            return
        given = _given(call)
        criterion = self._criterion
        if self._verified is None and criterion is not None and self._is_trained(call.module):
            try:
                outputs, targets, _ = self._pair(call, criterion)
                loss = criterion.loss(outputs, targets)
                self._expected = float(loss) if loss.is_cpu else None
            except Mismatch:
                self._expected = None
        arguments = [(path, weakref.ref(tensor)) for path, tensor in given]
        self._outputs.append(_Noted(weakref.ref(call.module), places, arguments))
        data = self.training.probe(Data)
        if data is not None and data.current is None:
            self._variables.note_training(call, sys._getframe())

    def _pair(self, call: Pass, criterion: Criterion) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Prepared outputs and targets, and the output itself; raises `Mismatch`."""
        output = next((t for path, t in tensors_in(call.output, "output") if path == criterion.path), None)
        target = criterion.target
        if output is None or target is None:
            raise Mismatch(f"the model returned no tensor at {criterion.path}")
        data = self.training.probe(Data)
        drawn = data.current if data is not None else None
        found = None
        if target.source == "pass":
            found = next((tensor for path, tensor in _given(call) if path == target.path), None)
        elif target.source == "batch" and drawn is not None:
            found = drawn.tensor_at(target.path)
        # A variable beside a loader's batch may still be that of the batch before: where the loss was computed again
        # and came out the same, it is set ahead of the pass.
        if found is None and target.source != "pass" and (drawn is None or self._verified is not False):
            found = self._variables.target_for(call, target, output, sys._getframe())
        if found is None:
            raise Mismatch(f"the targets, in training {target.source} {target.path}, were not found for it")
        if found.device != output.device:
            # Targets are few: they go to the outputs. From pinned memory that does not wait for the device.
            found = found.pin_memory() if output.is_cuda and found.is_cpu else found
            found = found.to(output.device, non_blocking=True)
        return (*criterion.prepare(output, found), output)

    # -- learning from the training ---------------------------------------------------------------------------------

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        if self._open:
            self._close()
        if self._open_names:
            self._open_names.clear()
        if self._answers:
            self._write_answers(wait=False)
        if not self.training.close or not may_compute():
            return
        with Aside():
            node = self.training.loss_node
            if node is not None:
                self._count_training(node)
            elif self._verified is None and self._attempts < _ATTEMPTS:
                # One that kept no targets, such as `l1_loss`, may do all the same.
                node = find_loss_node(tensor.grad_fn if loss is tensor else unscaled(tensor))
            if node is None:
                self._reason = self._reason or "the function of the loss is not recognised"
                return
            if self._verified is None:
                self._verify(node, loss)
            if self._criterion is None and self._attempts < _ATTEMPTS:
                self._attempts += 1
                self._reason = self._learn(node, loss) or self._reason

    def _learn(self, loss: LossNode, value: torch.Tensor) -> str | None:
        """Finds output and targets of a loss; returns why not."""
        reason = "no forward pass of the whole model was seen before the loss"
        for noted in reversed(self._outputs):
            found = way(start_of(loss), noted.places)
            if isinstance(found, str):
                reason = found
                continue
            try:
                criterion = Criterion(loss, *found)
            except Mismatch as error:
                return str(error)
            criterion.target = self._find_target(loss, criterion, found[0], noted)
            if criterion.target is None:
                return "the targets of the loss were found neither in the batch nor among the variables"
            self._criterion, self._trained, self._verified = criterion, noted.module, None
            if criterion.is_part or not value.is_cpu or criterion.target.is_indexed:
                self._verified = False  # there is nothing to compare with
                self._say()
            return None
        return reason

    def _find_target(self, loss: LossNode, criterion: Criterion, place: Place, noted: _Noted) -> Target | None:
        used = loss.targets
        data = self.training.probe(Data)
        drawn = data.drawn if data is not None else None
        candidates: Candidates = [("pass", path, t) for path, ref in noted.arguments if (t := ref()) is not None]
        if drawn is not None and drawn.step == self.training.done:
            candidates += [("batch", path, t) for path, t in drawn.tensors()]
        candidates += [("frame", name, t) for name, t in self._variables.around(sys._getframe())]
        for source, path, tensor in candidates:
            if used is None:  # the loss kept none (`l1_loss`): the shape decides, and comparing the losses
                is_it = source != "pass" and tensor.is_floating_point() and tensor.numel() == math.prod(place.shape)
                change = "same" if is_it else None
            else:
                change = change_between(tensor, used, criterion.ignored)
            if change == "argmax" and used is not None and not bool((used != used.reshape(-1)[:1]).any()):
                change = None  # one label alone may be the largest place of anything
            if change is not None:
                return Target(source, path, change, tensor.dtype, tensor.dim())
        if used is not None and self._indexed < _INDEXED and (drawn is None or drawn.step != self.training.done):
            self._indexed += 1
            given = [one for _, ref in noted.arguments if (one := ref()) is not None]
            for name, whole in self._variables.indexed(given, used, sys._getframe()):
                return Target("frame", name, "same", whole.dtype, whole.dim(), is_indexed=True)
        return None

    def _verify(self, loss: LossNode, value: torch.Tensor) -> None:
        """Compares the script's loss with what we foretold."""
        expected, criterion = self._expected, self._criterion
        if expected is None or criterion is None or not value.is_cpu:
            return
        theirs = float(value)
        tolerance = _TOLERANCE_OF_HALVES if value.dtype in (torch.float16, torch.bfloat16) else _TOLERANCE
        if loss.function != criterion.function or not math.isfinite(theirs):
            self._criterion = None
        elif criterion.is_scaled and expected:
            self._factor = theirs / expected
            self._verified = False  # any two numbers have a factor
            self._say()
        elif math.isclose(expected, theirs, rel_tol=tolerance, abs_tol=1e-6):
            self._verified = True
            self._say()
        else:
            self._criterion = None
            self._reason = (
                f"the loss made again from the model's output and the targets is {expected:.6g}, the script's own "
                f"is {theirs:.6g}"
            )

    def _say_unmatched(self, reason: str) -> None:
        self.training.unseen("evaluation", f"Held-out data is not judged: {reason}.")

    def _count_training(self, loss: LossNode) -> None:
        if not loss.is_supervised:
            return
        outputs, targets = loss.outputs, loss.targets
        kind_now = (loss.function, loss.n_classes)
        if self._train is None or self._trained_with != kind_now:
            # What the loss was given, as it was given: nothing lies between.
            place = Place("", tuple(outputs.shape))
            try:
                criterion = Criterion(loss, place, [], False)
                self._train, self._trained_with = Tally(criterion, with_loss=False), kind_now
            except Mismatch:
                return
        try:
            prepared = self._train.criterion.prepare(outputs, targets)
        except Mismatch:
            return
        self._train.add(*prepared, len(outputs) if outputs.dim() else 1)

    # -- evaluation ------------------------------------------------------------------------------------------------

    def _evaluate(self, call: Pass) -> None:
        criterion, data = self._criterion, self.training.probe(Data)
        if criterion is None or data is None or self._verified is None:
            return
        drawn = data.current
        if drawn is None and data.is_within_step:
            return  # a teacher's pass, say, over the batch that is about to be trained on
        # A copy, of averaged weights, say, is evaluated as well; made by hand, such a pass may be anything.
        if not self._is_trained(call.module, or_alike=drawn is not None):
            return
        try:
            outputs, targets, output = self._pair(call, criterion)
        except Mismatch as error:
            if not self._sets:
                self._say_unmatched(str(error))
            return
        split = drawn.loader.split if drawn is not None else self._variables.split_of(call, data, sys._getframe())
        if split is None or (drawn is None and len(output) < 2):
            return
        self._sources[split] = "loader" if drawn is not None else "by hand"
        if split == TRAIN:
            names = [str(drawn.loader.described.get("name") or "")] if drawn is not None else self._variables.names
            self._note_names(names, data)
            return
        tally = self._open.get(split)
        if tally is None:
            tally = self._open[split] = Tally(criterion)
        tally.add(outputs, targets, len(output) if output.dim() else 1)

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

    def _is_trained(self, module: Any, or_alike: bool = False) -> bool:
        trained = self._trained() if self._trained is not None else None
        if trained is None:
            return False
        module, trained = _unwrapped(module), _unwrapped(trained)
        return module is trained or (or_alike and type(module) is type(trained))

    def _close(self) -> None:
        """The evaluation is over."""
        tallies, self._open = self._open, {}
        step = self.training.last_step
        for name, value in scores_in(sys._getframe()).items() if tallies else ():
            self.journal.reading(SCORE.name, name, step, value)
        passes = self.training.probe(Passes)
        is_partial = passes is not None and passes.left_out > 0
        with Aside():
            for split, tally in tallies.items():
                answer = tally.ask()
                if answer is not None:
                    self._answers.append((split, step, answer))
                    known = self._sets.setdefault(
                        split, {"samples": tally.samples, "source": self._sources[split], "partial": False}
                    )
                    if is_partial:
                        self._sets[split] = {**known, "partial": True}
        self._say()

    def _write_answers(self, wait: bool) -> None:
        while self._answers and (wait or self._answers[0][2].is_there):
            split, step, answer = self._answers.pop(0)
            score = answer.read()
            subject = "" if split == "val" else split
            self._write(VAL_LOSS.name, subject, step, score.loss)
            self._write(VAL_ACCURACY.name, subject, step, score.accuracy)
            self._write_details(split, step, score)

    def _write_details(self, split: str, step: int, score: Score) -> None:
        self._write(TARGET_ERROR.name, split, step, score.error)
        self._write(TARGET_SPREAD.name, split, step, score.spread)
        for label, (there, hit) in enumerate(zip(score.labels, score.hits, strict=True)):
            if there:
                self.journal.reading(RECALL.name, f"{split}/{label}", step, hit / there)
        if score.predicted:
            self.journal.array(PREDICTIONS.name, split, step, score.predicted)

    def _write(self, signal: str, subject: str, step: int, value: float) -> None:
        if not math.isnan(value) or signal == VAL_LOSS.name:
            self.journal.reading(signal, subject, step, value)

    def end_epoch(self) -> None:
        if self._verified is None and self._reason:
            self._say_unmatched(self._reason)
        self._close()
        self._write_answers(wait=True)
        train, self._train = self._train, None
        if train is not None:
            with Aside():
                answer = train.ask()
            if answer is not None:
                self._write_details(TRAIN, self.training.last_step, answer.read())

    def finish(self) -> None:
        self.end_epoch()

    def _say(self) -> None:
        criterion = self._criterion
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
                "factor": self._factor,
                "verified": bool(self._verified),
                "sets": {split: dict(known) for split, known in self._sets.items()},
            },
        )


def _unwrapped(module: Any) -> Any:
    """The model itself, where a class of torch's that spreads it over devices holds it."""
    inner = module.__dict__.get("_modules", {}).get("module") if type(module).__name__ in _WRAPPERS else None
    return module if inner is None else inner


def _given(call: Pass) -> list[tuple[str, torch.Tensor]]:
    """What the model was given: arguments by their place, keywords by their name."""
    return tensors_in((list(call.args), call.kwargs))
