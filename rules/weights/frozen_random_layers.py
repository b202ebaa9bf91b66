"""Layers that were never trained and are frozen all the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic import Field, PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import settled_progress
from ..engine.signals import LOSS
from ..engine.tables import table


class FrozenRandomLayers(Rule):
    """Most of a model's parameters are frozen, no weights were seen to be loaded or the layers are as torch constructs
    them, and the loss has hardly come down; or a table of vectors is frozen whose numbers are random.

    ## Why it matters
    To freeze the body and train the head is how pre-trained networks are adapted. With random weights in the body the
    head is all that learns, from features that mean nothing.

    ## What to try
    - Load the pre-trained weights, and check that the names fit (`load_state_dict` with `strict=True`).
    - Leave `requires_grad` of the body alone, or set it back to True.
    - `nn.Embedding.from_pretrained` freezes by default: give it `freeze=False`.

    ## When it is wrong
    Frozen embeddings are not counted, but for tables in which no direction stands out, as none does in random numbers:
    whatever was learned from words has some. Weights that came with the model (from a model library, `torch.load` of a
    whole model) are not seen to be loaded; the scales of its norm layers, which only a training makes differ, show it.
    Random features, reservoirs and lottery-ticket experiments freeze random weights on purpose. Hence it is asked
    whether the loss came down as trained features would have made it.

    ## References
    - Yosinski et al. 2014, How transferable are features in deep neural networks?, figure 2: random, untrained features
      lose most of the accuracy from the third layer on.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("model",)
    explains = (Level.OUTCOME,)

    quantile: float = Field(0.5, gt=0, lt=1)
    """Share of the model's parameters that must be frozen."""

    ratio: float = Field(0.3, gt=0, lt=1)
    """Share by which the loss must have come down for the frozen features to be of use."""

    ratio_of_tables: float = Field(0.5, gt=0, lt=1)
    """The same where the frozen weights are known to be random, a table of vectors or layers as torch constructs them:
    what stands behind them learns to do with a part of it."""

    min_steps: PositiveInt = 60
    """Losses needed where only their fall tells: a body that was trained elsewhere shows it in tens of steps."""

    min_drawn: PositiveInt = 3
    """Frozen layers as torch draws them from which on it is known that nothing was loaded into the body. One or two
    are a random projection, as in an extreme learning machine."""

    healthy = {
        "loss": [2.3 * 0.99**i for i in range(600)],
        "facts": {"model": {"": {"parameters": 1000, "trainable": 300, "frozen": ["body"], "n_frozen": 1}}},
    }
    faulty = {
        "loss": [2.3 - 0.0005 * i for i in range(600)],
        "facts": {"model": {"": {"parameters": 1000, "trainable": 300, "frozen": ["body"], "n_frozen": 1}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        models = trace.facts.get("model")
        if not isinstance(models, dict) or len(models) != 1:
            raise NotApplicable("judged where one model is trained: a second one may be a teacher")
        about = table(next(iter(models.values())))
        layers, signs = table(about.get("layers")), table(trace.facts.get("signs"))
        n_untouched = sum(table(leaf).get("drawn") is True for leaf in layers.values())
        # Whatever was loaded, or trained before, it is not in layers that are as torch constructs them.
        is_known = n_untouched >= self.min_drawn
        was_trained = any(table(leaf).get("trained_before") is True for leaf in layers.values())
        if not is_known and (was_trained or trace.training or signs.get("pretrained") or signs.get("reloads")):
            raise NotApplicable("weights were loaded, or trained before")
        everything, trained, names = (about.get(name) for name in ("parameters", "trainable", "frozen"))
        if not (isinstance(everything, int) and isinstance(trained, int) and isinstance(names, list)):
            raise NotApplicable("the number of parameters is not known")
        frozen = everything - trained
        drawn = [name for name, leaf in layers.items() if table(leaf).get("random") is True]
        if drawn and trained > 0:
            yield from self._table(trace, drawn[0])
            return
        names = [name for name in names if not _is_embedding(name, layers)]
        if not names or trained <= 0 or frozen <= self.quantile * everything:
            return
        progress = replace(settled_progress(trace), **({"is_pretrained": False} if is_known else {}))
        if progress.has_learned(self.ratio_of_tables if is_known else self.ratio):
            return
        if not is_known and trace.count(LOSS) and trace.count(LOSS) < self.min_steps:
            raise NotApplicable(f"{trace.count(LOSS)} losses were recorded; {self.min_steps} are needed")
        loaded = f"{n_untouched} layers are as torch draws them" if is_known else "no weights were seen to be loaded"
        yield Finding(
            subject=str(names[0]),
            message=f"{frozen} of {everything} parameters are frozen, {names[0]} first, and {loaded}; "
            f"the loss went from {progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                "Load the pre-trained weights, or train these layers.",
                "Check that requires_grad is True where it should be.",
            ),
            evidence={"frozen": frozen, "parameters": everything, "loss": progress.now},
            step=0,
        )

    def _table(self, trace: Trace, name: str) -> Iterator[Finding]:
        progress = settled_progress(trace)
        if progress.has_learned(self.ratio_of_tables):
            return
        yield Finding(
            subject=name,
            message=f"the vectors in {name} are frozen, and random: no direction of them stands out; the loss went "
            f"from {progress.initial:.4g} to {progress.now:.4g}, a fall of {self.ratio_of_tables:.0%} is expected",
            advice=(
                "Train the vectors: from_pretrained(vectors, freeze=False), or requires_grad_(True).",
                "Or load vectors that were learned.",
            ),
            evidence={"initial": progress.initial, "loss": progress.now},
            step=0,
        )


def _is_embedding(name: object, layers: Mapping[str, Json]) -> bool:
    """Whether a frozen part is a table of vectors: those often come from elsewhere as a plain tensor."""
    about = layers.get(str(name))
    kind = about.get("class") if isinstance(about, dict) else None
    return "emb" in str(name).lower() or "embedding" in str(kind).lower()
