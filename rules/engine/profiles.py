"""What kind of training a run is, from what was observed of it: the task profile, and why.

It is said only where the signs are clear. A profile mutes rules: one that is guessed wrongly hides faults, while
`unknown` costs nothing but the few rules that ask for a certain kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from .progress import guess_of
from .records import Json
from .signals import LOSS
from .tables import layers_of, losses_of, number, shape, table, tables, targets_of, text
from .trace import Trace

UNKNOWN = "unknown"

EVERY = frozenset({
    "supervised", "regression", "language-model", "fine-tune", "gan", "rl", "contrastive", "autoencoder", "diffusion",
    UNKNOWN,
})  # fmt: skip
"""All task profiles: for rules about what is wrong in any training, such as gradients that are never cleared."""

ONE_OBJECTIVE = EVERY - {"gan", "rl"}
"""Those in which one loss is brought down from beginning to end: for rules about its course."""

LABELLED = frozenset({"supervised", "language-model", "fine-tune", UNKNOWN})
"""Those in which targets may be classes: for rules about labels, predictions and accuracy."""

FROZEN_SHARE = 0.5
"""Share of a model's parameters beyond which those that are not trained make it a fine-tuning."""

KNOWS = 0.3
"""First loss, as a share of that of guessing, below which a model cannot be untrained: with ten classes 0.7 for 2.3,
which takes a probability of one half for the right class."""

FIRST = 3
"""First losses of which the median is taken."""

ACTING = 0.5
"""Share of steps ahead of which a model is called without gradients, in training on what the model itself does."""

LEAST_VOCABULARY = 8

FEW_VALUES = 16
"""Different target values up to which whole numbers are taken for labels, and not for quantities."""

_REGRESSION = frozenset(
    {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "gaussian_nll_loss", "poisson_nll_loss"}
)
_BINARY = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
_CLASSES = _BINARY | {"cross_entropy", "nll_loss", "ctc_loss", "multi_margin_loss", "multilabel_margin_loss", "kl_div"}
_SIMILARITY = frozenset({"triplet_margin_loss", "cosine_embedding_loss", "hinge_embedding_loss"})


class Profile(NamedTuple):
    """A task profile, and what it was told by."""

    name: str
    reason: str


_FACTS = ("profile", "signs", "loss", "loss_terms", "graph", "evaluation", "targets", "model")
_inferred: WeakKeyDictionary[Trace, tuple[tuple[int, int], list[Json], Profile]] = WeakKeyDictionary()
"""The latest answer for each trace, and what it was made of: every rule of a judgement asks for the same."""


def infer(trace: Trace) -> Profile:
    """The profile of a run, from the clearest sign to the vaguest."""
    facts, at = [trace.facts.get(name) for name in _FACTS], (trace.step, trace.series(LOSS).count)
    known = _inferred.get(trace)
    if known is None or known[0] != at or any(a is not b for a, b in zip(known[1], facts, strict=True)):
        known = _inferred[trace] = at, facts, _infer(trace)
    return known[2]


def _infer(trace: Trace) -> Profile:
    signs, losses = table(trace.facts.get("signs")), losses_of(trace)
    functions = {text(one.get("function")) for one in losses}
    told = trace.facts.get("profile")
    if isinstance(told, str) and told and not (told == "gan" and signs.get("crossed") is False):
        return Profile(told, "several optimizers step in turn, each after a loss of its own" if told == "gan" else "")
    return (
        _by_actions(trace, signs, losses)
        or _by_targets(trace, signs, functions)
        or _by_weights(trace, signs)
        or _by_tokens(trace, losses)
        or _by_function(trace, functions)
        or Profile(UNKNOWN, "no sign of a certain kind of training")
    )


def _by_actions(trace: Trace, signs: Mapping[str, Json], losses: list[Mapping[str, Json]]) -> Profile | None:
    """Reinforcement learning: the model is trained on what it did itself."""
    terms = [*losses, *tables(trace.facts.get("loss_terms"))]
    is_by_hand = any(text(one.get("function")) in ("unknown", "sum", "code_penalty") for one in terms)
    # Bernoulli(logits=...) scores its samples by a function of torch; only advantages make it negative.
    is_by_hand = is_by_hand or (
        any(text(one.get("function")) in _BINARY and one.get("scaled") is True for one in losses)
        and any(loss < 0 for loss in trace.series(LOSS))
    )
    if is_by_hand and (number(signs.get("scored")) or 0) > 0 and (number(signs.get("samples")) or 0) > 0:
        return Profile("rl", "the loss is made of log-probabilities of what was drawn from a distribution")
    if signs.get("credit") is True:
        return Profile("rl", "the loss multiplies log-probabilities with numbers of both signs")
    values = {text(one.get("function")) for one in losses} & _REGRESSION
    if values and signs.get("picked") is True and (number(signs.get("acting")) or 0.0) >= ACTING:
        return Profile("rl", "one value a sample is picked by its action, and a model is asked between the steps")
    return None


def _by_targets(trace: Trace, signs: Mapping[str, Json], functions: set[str]) -> Profile | None:
    made_of = text(signs.get("targets"))
    if made_of == "place":
        return Profile("contrastive", "the target of each sample is a place in the batch")
    tails = tables(table(trace.facts.get("graph")).get("tails"))
    is_first = targets_of(trace, "cross_entropy").get("values") == [0.0] and functions == {"cross_entropy"}
    if is_first and tails and all(one.get("layer") is None for one in tails):
        return Profile("contrastive", "the first of several similarities is the target of every sample")
    if functions and functions <= _SIMILARITY:
        return Profile("contrastive", f"the loss is {', '.join(sorted(functions))}")
    if made_of == "noise":
        return Profile("diffusion", "the targets are standard normal noise in the shape of the inputs")
    given = text(table(trace.facts.get("evaluation")).get("target"))
    comparing = functions & (_REGRESSION | _BINARY)
    # Masks of 0 and 1 go with their images, too: they are labels.
    is_made_of = made_of == "like input" and not any(_is_whole(trace, one) for one in comparing)
    if comparing and (made_of == "input" or is_made_of or (given == "pass 0/0" and comparing == functions)):
        return Profile("autoencoder", "the targets are the inputs, or made of them")
    return None


def _by_weights(trace: Trace, signs: Mapping[str, Json]) -> Profile | None:
    for model in table(trace.facts.get("model")).values():
        whole, trained = (number(table(model).get(key)) for key in ("parameters", "trainable"))
        if whole and trained and trained < (1.0 - FROZEN_SHARE) * whole:
            return Profile("fine-tune", f"{1 - trained / whole:.0%} of the model's parameters are frozen")
    if signs.get("pretrained") is True:
        return Profile("fine-tune", "weights were trained before, or loaded")
    if is_past_guessing(trace):
        return Profile("fine-tune", "the first losses are far below that of an untrained model")
    return None


def _by_tokens(trace: Trace, losses: list[Mapping[str, Json]]) -> Profile | None:
    """A language model gives each token of its input a probability for each token there is."""
    for loss in losses:
        classes, given = number(loss.get("n_classes")), shape(loss.get("targets_shape"))
        if text(loss.get("function")) != "cross_entropy" or classes is None or classes < LEAST_VOCABULARY:
            continue
        for layer in layers_of(trace).values():
            size, output = number(layer.get("parameters")), shape(layer.get("output"))
            if layer.get("class") != "Embedding" or size is None or len(output) != 3:
                continue
            tokens, vocabulary = output[0] * output[1], size / max(1, output[2])
            targets = 1
            for n in given:
                targets *= n
            is_each = targets in (tokens, tokens - output[0], tokens - output[1])
            if is_each and abs(vocabulary - classes) <= 0.1 * classes:
                return Profile("language-model", "every token has a target, of as many classes as there are tokens")
    return None


def _by_function(trace: Trace, functions: set[str]) -> Profile | None:
    if functions & _CLASSES:
        return Profile("supervised", f"the loss is {', '.join(sorted(functions & _CLASSES))}")
    if functions and functions <= _REGRESSION and not any(_is_whole(trace, one) for one in functions):
        return Profile("regression", f"the loss is {', '.join(sorted(functions))}")
    return None


def _is_whole(trace: Trace, function: str) -> bool:
    """Whether the targets of a loss function may be labels: a few whole numbers."""
    targets = targets_of(trace, function)
    values = targets.get("values")
    return targets.get("whole") is True and isinstance(values, list) and len(values) <= FEW_VALUES


def is_past_guessing(trace: Trace) -> bool:
    """Whether the first losses are far below that of a model that knows nothing, and nothing else makes them small."""
    loss = trace.facts.get("loss")
    guess = guess_of(trace)
    if guess is None or not isinstance(loss, dict) or loss.get("scaled") is not False or loss.get("terms") != 1:
        return False
    if text(loss.get("function")) in _BINARY or number(targets_of(trace, "cross_entropy").get("n_ignored")):
        return False  # binary targets may be nearly all of one kind
    series = trace.series(LOSS)
    if len(series) < FIRST or series.steps[0] > trace.step // 10 or not series.first(FIRST).is_finite:
        return False
    values = targets_of(trace, "cross_entropy").get("values")
    if isinstance(values, list) and len(values) < 2:
        return False  # labels that are all the same are learned within a step
    return 0.0 < series.first(FIRST).median < KNOWS * guess
