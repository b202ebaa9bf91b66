"""Pictures whose axes are not in the order that a convolution expects."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, shape, table, tables, text

_COLOURS = (1, 3, 4)


class ImageLayout(Rule):
    """A convolution takes rows of pixels for channels, or pictures were brought into its order by `view`.

    ## Why it matters
    A convolution expects (samples, channels, height, width). With channels last it runs where the sizes happen to fit,
    and sees stripes; a `view` or `reshape` gives the right sizes and scrambles every picture.

    ## What to try
    - Use x.permute(0, 3, 1, 2): it moves the axis with its values.
    - Give the first convolution as many input channels as the pictures have colours.

    ## When it is wrong
    Square maps of features with a last axis of 1, 3 or 4 may be meant so.

    ## References
    - PyTorch, Conv2d: input (N, C, H, W); Karpathy 2019, most common mistakes: view in the place of permute.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion", "gan"}

    min_size: PositiveInt = 8
    """Height and width from which on an axis is not one of channels by itself."""

    healthy = {
        "facts": {
            "drill/data-at-the-door": {
                "first": [{"name": "conv", "class": "Conv2d", "viewed": False, "input": {"shape": [32, 3, 28, 28]}}]
            }
        }
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {
                "given": {"0": {"shape": [32, 28, 28, 3]}},
                "first": [{"name": "conv", "class": "Conv2d", "viewed": False, "input": {"shape": [32, 28, 28, 3]}}],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        convolutions = [one for one in tables(told.get("first")) if text(one.get("class")) == "Conv2d"]
        if not convolutions:
            raise NotApplicable("no convolution over pictures is among the first layers")
        sizes = shape(table(convolutions[0].get("input")).get("shape"))
        if len(sizes) != 4:
            raise NotApplicable("the pictures have no axis of samples")
        _, channels, height, width = sizes
        name = text(convolutions[0].get("name"))
        given = [shape(table(one).get("shape")) for one in table(told.get("given")).values()]
        if channels == height >= self.min_size and width in _COLOURS and sizes in given:
            yield _finding(name, f"{name} is given pictures of shape {sizes[1:]}: {channels} rows taken for channels")
        elif convolutions[0].get("viewed") is True or self._was_viewed(trace):
            yield _finding(name, f"pictures with {channels} channels last were viewed as {sizes[1:]}: values scrambled")

    def _was_viewed(self, trace: Trace) -> bool:
        """Whether the loop did it: the loader's samples are those of the model, value by value, in another shape."""
        told = table(trace.facts.get("drill/data-at-the-door"))
        if told.get("as_given") is not True:
            return False
        drawn, given = table(table(told.get("splits")).get("train")), table(told.get("given"))
        for path, place in table(told.get("roles")).items():
            ours = shape(table(table(drawn.get("inputs")).get(path)).get("shape"))[1:]
            theirs = shape(table(given.get(text(place))).get("shape"))[1:]
            if len(ours) == 3 and ours[2] in (3, 4) and theirs == [ours[2], *ours[:2]] and number(ours[0]) != ours[2]:
                return True
        return False


def _finding(name: str, what: str) -> Finding:
    return Finding(
        subject=name,
        message=f"{what}; (channels, height, width) expected, by permute",
        advice=(
            "Bring the axes into order with x.permute(0, 3, 1, 2), not with view or reshape.",
            "Give the first convolution as many input channels as the pictures have colours.",
        ),
        evidence={"pictures": 1},
    )
