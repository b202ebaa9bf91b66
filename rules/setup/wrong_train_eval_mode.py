"""A model that trains in evaluation mode, or is evaluated in training mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import PositiveInt

from ..engine import Event, Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import EPOCH, Json
from ..engine.signals import VAL_ACCURACY, VAL_LOSS
from ..engine.tables import number, table, tables, text


class WrongTrainEvalMode(Rule):
    """Dropout or normalisation layers are in the wrong mode: off while training, or on while evaluating.

    ## Why it matters
    Trained in evaluation mode, dropout leaves nothing out and batch normalisation neither normalises nor learns its
    statistics. Evaluated in training mode, outputs are random or depend on the rest of the batch, and the statistics
    take in the held-out data.

    ## What to try
    - Call `model.train()` at the start of every epoch, as evaluation ends in `eval()`.
    - Call `model.eval()` ahead of every evaluation, tests at the end included.

    ## When it is wrong
    Single layers that are kept in evaluation mode are meant so (frozen batch normalisation), as are models with frozen
    parts; where the model itself was left in evaluation mode, and a part of it put back, the rest was forgotten.
    Training in evaluation mode from the first step on is named for others. Predictions that are drawn several
    times of the same input are Monte Carlo dropout; where dropout is to be always on, say `training=True`. A model
    without dropout and batch normalisation is not judged, nor are passes of copies (teachers, averages), adversarial
    and reinforcement learning.

    ## References
    - PyTorch documentation, Module.train and Module.eval.
    - TheDeepChecker (Braiek & Khomh 2022) checks the switch of modes; TrainCheck (Jiang et al. 2025) records it.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.LOGIC
    waits_for_warmup = False
    finite = False
    profiles = frozenset(
        {
            "supervised",
            "regression",
            "language-model",
            "fine-tune",
            "autoencoder",
            "diffusion",
            "contrastive",
            "unknown",
        }
    )
    explains = (Level.DYNAMICS, Level.OUTCOME)

    min_steps: PositiveInt = 10
    """Steps in evaluation mode before anything is said: a backward for a saliency map is no training."""

    healthy = {
        "loss": [1.0] * 80,
        "epochs": 4,
        "facts": {"model": {"": {"class": "Net", "dropout": 1, "norms": 2, "n_frozen": 0}}},
        "events": {
            "mode": {
                0: {"model": "", "kind": "training", "training": True, "dropout": 1, "norms": 2},
                20: {"model": "", "kind": "evaluation", "training": False, "dropout": 0, "norms": 0},
            }
        },
    }
    faulty = {
        "loss": [1.0] * 80,
        "epochs": 4,
        "facts": {"model": {"": {"class": "Net", "dropout": 1, "norms": 2, "n_frozen": 0}}},
        "events": {
            "mode": {
                0: {"model": "", "kind": "training", "training": True, "dropout": 1, "norms": 2},
                20: {"model": "", "kind": "evaluation", "training": False, "dropout": 0, "norms": 0},
                21: {"model": "", "kind": "training", "training": False, "dropout": 0, "norms": 0},
            }
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        events = trace.events("mode")
        trained = {text(event.data.get("model")) for event in events if event.data.get("kind") == "training"}
        if not trained:
            raise NotApplicable("no mode of a training pass was seen")
        models = table(trace.facts.get("model"))
        judged = 0
        for call in tables(trace.facts.get("always_dropout")):
            judged += 1
            yield _always_on(call)
        is_evaluated = any(one.data.get("kind") == "evaluation" and one.data.get("training") is False for one in events)
        for call in tables(trace.facts.get("always_batch_norm")) if is_evaluated else ():
            judged += 1
            yield _always_of_the_batch(call)
        for label in sorted(trained):
            own = [event for event in events if event.data.get("model") == label]
            about = table(models.get(label))
            layers = max(
                [_active(event) for event in own]
                + [number(about.get("dropout")) or 0.0, number(about.get("norms")) or 0.0]
            )
            if layers < 1:
                continue
            judged += 1
            yield from self._training(trace, label, own, about)
            yield from self._evaluation(trace, label, own)
        if not judged:
            raise NotApplicable(
                "no model that is trained has dropout or batch normalisation: its mode is nothing to it"
            )

    def _training(self, trace: Trace, label: str, events: list[Event], about: Mapping[str, Json]) -> Iterator[Finding]:
        passes = [event for event in events if event.data.get("kind") == "training"]
        last, most = passes[-1], max(_active(event) for event in passes)
        steps = trace.step - last.step
        if last.data.get("training") is not False or steps < max(self.min_steps, 2 * _every(trace)):
            return
        if _active(last) and not _is_left_behind(last, events, about):
            return
        was_on = most > 0
        if not was_on and (
            (number(about.get("n_frozen")) or 0) or number(table(trace.facts.get("graph")).get("foreign"))
        ):
            return  # a fixed part in evaluation mode is how features are taken from it
        since = (
            f"since step {last.step}, after {most:g} of its layers had been in training mode"
            if was_on
            else "from the first step on"
        )
        n = sum(number(about.get(key)) or 0.0 for key in ("dropout", "norms"))
        yield Finding(
            subject=label,
            message=f"{_name(label, about)} trains in evaluation mode {since}, for {steps} steps: {_active(last):g} of "
            f"its {max(n, most):g} "
            "dropout and normalisation layers are in training mode; all were expected to be",
            advice=(
                "Call model.train() at the start of every epoch: evaluation leaves the model in eval().",
                "To freeze batch normalisation only, put those layers into eval() after model.train().",
            ),
            evidence={"n_steps": steps, "n_layers": max(n, most), "n_active": _active(last)},
            step=last.step,
        )

    def _evaluation(self, trace: Trace, label: str, events: list[Event]) -> Iterator[Finding]:
        passes = [event for event in events if event.data.get("kind") == "evaluation"]
        sampled = any(event.data.get("kind") == "sampling" for event in events)
        if not passes or sampled or not all(event.data.get("training") is True and _active(event) for event in passes):
            return
        first = passes[0]
        if not (_has_held_out(trace) or (first.step > 0 and _is_at_an_end(trace, first.step))):
            return  # labels of a pass without gradients, at each step, are part of the training
        yield Finding(
            subject=label,
            message=f"{_name(label, {})} is evaluated in training mode from step {first.step} on: "
            f"{_active(first):g} of "
            "its dropout and normalisation layers are on; 0 were expected",
            advice=(
                "Call model.eval() ahead of every evaluation, and model.train() after it.",
                "Set training=False in functions such as torch.nn.functional.dropout.",
            ),
            evidence={"n_active": _active(first), "step": first.step},
            step=first.step,
        )


def _is_left_behind(last: Event, events: list[Event], about: Mapping[str, Json]) -> bool:
    """Whether an evaluation put all of a model into evaluation mode, and only a part of it was put back.

    A part that is kept there on purpose is so in a model that is in training mode itself, or is frozen.
    """
    before = [event for event in events if event.step <= last.step]
    most = max((_active(event) for event in before if event.data.get("kind") == "training"), default=0.0)
    was_evaluated = any(
        event.data.get("kind") == "evaluation" and event.data.get("training") is False and not _active(event)
        for event in before
    )
    return was_evaluated and 0 < _active(last) < most and not number(about.get("n_frozen"))


def _always_on(call: Mapping[str, Json]) -> Finding:
    line = number(call.get("line")) or 0.0
    return Finding(
        subject=text(call.get("class")),
        message=f"{text(call.get('call'))} in {text(call.get('class'))}, line {line:.0f}, drops in evaluation too: its "
        "argument training is True unless given; 0 of the outputs are to be dropped there",
        advice=("Give it training=self.training.", "Or use a module, nn.Dropout, which knows the mode."),
        evidence={"line": line},
    )


def _always_of_the_batch(call: Mapping[str, Json]) -> Finding:
    line = number(call.get("line")) or 0.0
    return Finding(
        subject=text(call.get("class")),
        message=f"{text(call.get('call'))} in {text(call.get('class'))}, line {line:.0f}, normalises with the batch at "
        "hand in evaluation too: it is given training=True; the statistics that it keeps are expected there",
        advice=("Give it training=self.training.", "Or use a module, nn.BatchNorm2d, which knows the mode."),
        evidence={"line": line},
    )


def _active(event: Event) -> float:
    return sum(number(event.data.get(key)) or 0.0 for key in ("dropout", "norms"))


def _name(label: str, about: Mapping[str, Json]) -> str:
    return label or text(about.get("class")) or "the model"


def _every(trace: Trace) -> int:
    """Steps between two that are looked at closely."""
    told = [number(event.data.get("every")) for event in trace.events("sampling")]
    return int(told[-1] or 0) if told else 0


def _has_held_out(trace: Trace) -> bool:
    sets = table(table(trace.facts.get("evaluation")).get("sets"))
    return any(name != "train" for name in sets) or trace.count(VAL_LOSS) > 0 or trace.count(VAL_ACCURACY) > 0


def _is_at_an_end(trace: Trace, step: int) -> bool:
    """Whether an epoch, or the run so far, ends at a step."""
    ends = [number(event.data.get("last_step")) for event in trace.events(EPOCH)]
    return step >= trace.step or any(end is not None and end + 1 == step for end in ends)
