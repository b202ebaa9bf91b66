"""Units that begin alike, and stay so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import layers_of, number, shape, table, tables, text


class SymmetricInitialisation(Rule):
    """All units of a hidden layer begin with the same weights.

    ## Why it matters
    Units with the same weights give the same output and get the same gradient: they stay alike for ever, and a layer of
    a hundred units is worth one. With weights of zero throughout, no gradient passes at all.

    ## What to try
    - Leave the layers as PyTorch makes them, or use `kaiming_normal_` or `xavier_uniform_`.
    - Set constants for biases and norm layers only.

    ## When it is wrong
    The last layer, the end of a residual branch, and one half of a low-rank adapter begin at zero for good reasons:
    zero is reported only where it holds for nearly all of the hidden layers. Embeddings, and parameters of a single
    row or column, are left out.

    ## References
    - Goodfellow et al. 2016, Deep Learning, 8.4: "break symmetry between different units".
    - NeuraLint (Nikanjam et al. 2022): constant initialisation; TheDeepChecker (Braiek & Khomh 2022): variance near 0.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.SETTING
    needs_facts = ("initialisation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "initial-loss", "initialisation-scale")

    share: float = Field(0.9, gt=0, le=1)
    """Share of the hidden layers that must be zero."""

    healthy = {
        "facts": {
            "initialisation": [
                {"name": "0.weight", "shape": [32, 8], "fan_in": 8, "std": 0.2, "zero": False, "same_rows": False},
                {"name": "2.weight", "shape": [3, 32], "fan_in": 32, "std": 0.0, "zero": True, "same_rows": True},
            ]
        }
    }
    faulty = {
        "facts": {
            "initialisation": [
                {"name": "0.weight", "shape": [32, 8], "fan_in": 8, "std": 0.0, "zero": False, "same_rows": True},
                {"name": "2.weight", "shape": [3, 32], "fan_in": 32, "std": 0.1, "zero": False, "same_rows": False},
            ]
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        weights = _weights(trace)
        every = tables(trace.facts.get("initialisation"))
        if len(every) > 1 and all(one.get("zero") is True for one in every):
            # Tensors without a layer: which of their dimensions the units are is not known, and does not matter here.
            yield _all_zero(every)
            return
        ends = {
            text(tail.get("layer"))
            for tail in tables(table(trace.facts.get("graph")).get("tails"))
            if tail.get("layer")
        } or {text(weight.get("name")) for weight in weights[-1:]}
        hidden = [weight for weight in weights if text(weight.get("name")) not in ends]
        last = [weight for weight in weights if text(weight.get("name")) in ends]
        if not hidden:
            raise NotApplicable(f"{len(weights)} weight matrices were seen; a hidden layer and a last one are needed")
        alike = [weight for weight in hidden if weight.get("same_rows") is True and weight.get("zero") is not True]
        zero = [weight for weight in hidden if weight.get("zero") is True]
        # One hidden layer of zeros is brought apart by a last layer that is not; several in a row are not.
        is_dead = len(zero) >= self.share * len(hidden) and (
            len(zero) > 1 or (bool(last) and all(weight.get("zero") is True for weight in last))
        )
        if not alike and not is_dead:
            return
        found = alike or zero
        first, value = found[0], number(found[0].get("low"))
        name, rows = text(first.get("name")), shape(first.get("shape"))[0]
        if first.get("constant") is True and value is not None:
            what = f"all weights of {name} are {value:.4g}"
        else:
            what = (
                f"all weights of {name} are 0" if first.get("zero") is True else f"all {rows} units of {name} are alike"
            )
        yield Finding(
            subject=name.removesuffix(".weight"),
            message=f"{what} at the first step, and so in {len(found)} of {len(hidden)} hidden layers; "
            f"{rows} different units are expected",
            advice=(
                "Leave the layers as PyTorch makes them, or use kaiming_normal_ or xavier_uniform_.",
                "Set constants for biases and norm layers only.",
            ),
            evidence={"alike": len(found), "hidden": len(hidden), "units": rows},
            step=0,
        )


def _all_zero(weights: list[Mapping[str, Json]]) -> Finding:
    return Finding(
        subject=text(weights[0].get("name")).removesuffix(".weight"),
        message=f"all weights are 0 at the first step, those of {text(weights[0].get('name'))} and of {len(weights)} "
        "matrices in all; different numbers are expected",
        advice=("Draw the weights at random, with a standard deviation of 1 / fan_in ** 0.5.",),
        evidence={"alike": len(weights), "hidden": len(weights)},
        step=0,
    )


def _weights(trace: Trace) -> list[Mapping[str, Json]]:
    """The weights of layers with several units and inputs, embeddings left out."""
    layers = layers_of(trace)
    found = []
    for weight in tables(trace.facts.get("initialisation")):
        sizes, fan_in = shape(weight.get("shape")), number(weight.get("fan_in"))
        owner = layers.get(text(weight.get("name")).rpartition(".")[0], {})
        if "Embedding" in text(owner.get("class")) or "Norm" in text(owner.get("class")):
            continue
        if len(sizes) > 1 and sizes[0] > 1 and fan_in is not None and fan_in > 1:
            found.append(weight)
    return found
