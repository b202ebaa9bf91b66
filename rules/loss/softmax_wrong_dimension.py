"""A softmax along a dimension that is not that of the choices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, shape, table, tables, text


class SoftmaxWrongDimension(Rule):
    """A softmax makes the wrong values add up to one: those of different samples, or of a single output.

    Judged are a softmax over the samples of the batch, one over a dimension of size 1 at the model's end, one over
    positions where the loss looks for classes elsewhere, and attention weights that add up to one along another
    dimension than they are summed along.

    ## Why it matters
    Over the batch, the answer for a sample depends on which others are beside it, and the classes of one sample are
    compared with nothing. Over one value the result is 1, always. Attention weights that do not add up to one over the
    keys scale each query by chance.

    ## What to try
    - Classes: `softmax(dim=1)`, or `dim=-1` where classes come last.
    - Attention: `dim=-1`, over the keys.
    - One output: a sigmoid.

    ## When it is wrong
    Weighing the samples of a batch against each other can be meant, in pooling over instances. A dimension that only
    happens to be as long as the batch is not reported where another one is as long. Slot attention, which divides by
    the sum along the other dimension afterwards, is not reported.

    ## References
    - PyTorch documentation: `Softmax` and `LogSoftmax`, on `dim`.
    - Vaswani et al. 2017: the softmax of attention is over the keys.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "diffusion", "gan", "rl"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "initial-loss", "double-softmax")

    healthy = {
        "facts": {
            "graph": {
                "softmaxes": [
                    {"op": "softmax", "shape": [32, 10], "dim": 1, "tail": True, "summed": None, "batch": 32},
                    {"op": "softmax", "shape": [32, 7, 7], "dim": 2, "tail": False, "summed": 2, "batch": 32},
                ]
            }
        }
    }
    faulty = {
        "facts": {
            "graph": {
                "softmaxes": [
                    {"op": "log_softmax", "shape": [32, 10], "dim": 0, "tail": True, "summed": None, "batch": 32}
                ]
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        if "softmaxes" not in graph:
            raise NotApplicable("the graph was not looked at for softmaxes")
        for one in tables(graph.get("softmaxes")):
            found = _fault(one)
            if found is not None:
                yield found
                return


def _fault(one: Mapping[str, Json]) -> Finding | None:
    sizes, dim, batch, summed = (
        shape(one.get("shape")),
        number(one.get("dim")),
        number(one.get("batch")),
        one.get("summed"),
    )
    if dim is None or not 0 <= dim < len(sizes) or dim != int(dim):
        return None
    at, op = int(dim), text(one.get("op"))
    written = "x".join(map(str, sizes))
    evidence = {"dim": float(at), "size": float(sizes[at])}
    if (
        len(sizes) > 1
        and at == 0
        and batch is not None
        and batch > 1
        and sizes.count(int(batch)) == 1
        and sizes[0] == batch
    ):
        return Finding(
            message=f"{op} over dimension 0 of {written}: over the {sizes[0]} samples of the batch; "
            f"dimension {len(sizes) - 1 if one.get('tail') is not True else 1} is expected",
            advice=("Name the dimension of the classes: dim=1.", "In attention use dim=-1, over the keys."),
            evidence=evidence | {"expected_dim": 1.0},
        )
    classes = number(one.get("classes"))
    if classes is None and op == "log_softmax" and one.get("tail") is True and _is_in_rows(sizes, at, batch):
        classes = len(sizes) - 1.0
    if classes is not None and at != classes and len(sizes) > 2:
        return Finding(
            message=f"{op} over dimension {at} of {written}; the loss looks for the classes in dimension {classes:.0f}",
            advice=(
                f"Name the dimension of the classes: dim={classes:.0f}.",
                "Or use cross_entropy on the raw scores.",
            ),
            evidence=evidence | {"expected_dim": classes},
        )
    if (
        sizes[at] == 1
        and op == "softmax"
        and one.get("tail") is not True
        and len(sizes) == 3
        and sizes[1] > 1 == sizes[2]
    ):
        return Finding(
            message=f"{op} over dimension {at} of {written}: over 1 value, which makes every weight 1; "
            f"dimension 1, with {sizes[1]} values, is expected",
            advice=("Use dim=1: the weights of all steps add up to 1.", "Or take the last dimension away first."),
            evidence=evidence | {"expected_dim": 1.0},
        )
    if sizes[at] == 1 and op == "softmax" and one.get("tail") is True and len(sizes) > 1:
        return Finding(
            message=f"{op} over dimension {at} of {written}: over 1 value, which makes it 1 "
            "whatever the model says; 2 values or more are expected",
            advice=("Use a sigmoid for one output.", "Or give the model one output for each class."),
            evidence=evidence,
        )
    if isinstance(summed, int) and not isinstance(summed, bool) and summed == len(sizes) - 1 != at and sizes[at] > 1:
        return Finding(
            message=f"attention weights {written} add up to 1 over dimension {at} and are summed over dimension "
            f"{summed}; softmax over dimension {summed} is expected",
            advice=("Use dim=-1: the weights of each query over the keys.",),
            evidence=evidence | {"expected_dim": float(summed)},
        )
    return None


def _is_in_rows(sizes: list[int], at: int, samples: float | None) -> bool:
    """Whether the loss is given one row, along the last dimension, for each place in all the others.

    Where the dimension at hand is as long as the last one, the two may have changed places on the way.
    """
    return len(sizes) > 2 and math.prod(sizes[:-1]) == samples and sizes[at] != sizes[-1]
