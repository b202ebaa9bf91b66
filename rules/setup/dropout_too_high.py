"""A dropout that leaves little over, or leaves out answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import layers_of, number, table, tables, text


class DropoutTooHigh(Rule):
    """A dropout leaves out more than three quarters of its input, or some of the model's outputs themselves.

    ## Why it matters
    PyTorch's argument is the share that is *left out*. At 0.9 a tenth of the units is left in each step, multiplied by
    ten: the gradient is mostly noise, and the model underfits. Elsewhere the argument is the share that is kept.

    Behind the last layer there is nothing left that could make up for it: what is dropped is the answer, the loss
    counts it as wrong, and the model learns to say less than it knows.

    ## What to try
    - Use 0.1 to 0.5; 0.5 for wide hidden layers only.
    - Where the share to keep was meant, give one minus it.
    - Put dropout ahead of the last layer, not behind it.

    ## When it is wrong
    Masking most of an input on purpose, as masked autoencoders do, is not done with dropout modules as a rule.
    Outputs are judged where a loss of labels or quantities is given them; with several losses, only those of labels,
    as a distance may then be one between features.

    ## References
    - Srivastava et al. 2014: keeping 0.5 of hidden and 0.8 of input units is close to optimal in many tasks.
    - UMLAUT (Schoop et al. 2021) warns above 0.5; that alarms on classic heads.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME)

    max_share: float = Field(0.75, gt=0, lt=1)
    """Largest share that may be left out."""

    healthy = {"facts": {"model": {"": {"layers": {"drop": {"class": "Dropout", "p": 0.5}}}}}}
    faulty = {"facts": {"model": {"": {"layers": {"drop": {"class": "Dropout", "p": 0.9}}}}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        answers = self._of_answers(table(trace.facts.get("graph")))
        if answers is not None:
            yield answers
            return
        shares = {
            name: share
            for name, leaf in layers_of(trace).items()
            if "ropout" in text(leaf.get("class")) and (share := number(leaf.get("p"))) is not None
        }
        seen = table(trace.facts.get("graph")).get("dropouts")
        functions = [share for one in (seen if isinstance(seen, list) else ()) if (share := number(one)) is not None]
        if not shares and not functions:
            raise NotApplicable("no dropout was seen")
        name = max(shares, key=shares.__getitem__, default="")
        share = max([shares[name]] if name else [], default=0.0)
        if max(functions, default=0.0) > share:
            name, share = "", max(functions)
        if share <= self.max_share:
            return
        yield Finding(
            subject=name,
            message=f"{name or 'a dropout function'} leaves out {share:.3g} of its input; at most {self.max_share:g} "
            "is expected, 0.1 to 0.5 is common",
            advice=(
                "Use 0.1 to 0.5: the argument is the share that is left out.",
                "Where the share to keep was meant, give one minus it.",
            ),
            evidence={"share": share, "max_share": self.max_share},
        )

    def _of_answers(self, graph: Mapping[str, Json]) -> Finding | None:
        """What is said of a dropout with nothing but the loss behind it."""
        judged = _OF_LABELS if len(tables(graph.get("tails"))) > 1 else _OF_LABELS | _OF_QUANTITIES
        for one in tables(graph.get("thrown_away")):
            function, layer, share = text(one.get("loss")), text(one.get("layer")), number(one.get("share"))
            if function not in judged or not layer or share is None or not 0 < share < 1:
                continue
            layer = layer.removesuffix(".weight")
            return Finding(
                subject=layer,
                message=f"a dropout leaves out {share:.3g} of the outputs of {layer}, the last layer, and {function} "
                "is given what is left; 0 is expected behind the last layer",
                advice=(
                    f"Put the dropout ahead of {layer}, or take it out.",
                    "Look for a block, used for the output too, that ends in a dropout.",
                ),
                evidence={"share": share, "max_share": 0.0},
            )
        return None


_OF_LABELS = frozenset({
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "multi_margin_loss",
    "multilabel_soft_margin_loss",
})  # fmt: skip
_OF_QUANTITIES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss"})
