"""Layers that their model does not know."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, tables, text, texts


class UnregisteredModules(Rule):
    """The loss goes through layers or tensors that a module keeps in a plain list, dictionary or attribute.

    ## Why it matters
    `parameters()`, `to()`, `state_dict()`, `train()` and `eval()` pass them over: they are not trained, not moved and
    not saved.

    ## What to try
    - Use `nn.ModuleList` or `nn.ModuleDict` in place of the list or dictionary.
    - Wrap tensors that are to be trained in `nn.Parameter`.
    - Make the optimizer after that: it takes what `parameters()` lists.

    ## When it is wrong
    A teacher is sometimes kept in a list so that it is *not* registered: no loss reaches it, and it is not named. Nor
    are layers that an optimizer owns all the same.

    ## References
    - PyTorch documentation, torch.nn.ModuleList: modules in a plain list are not registered.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("model", "graph")
    waits_for_warmup = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "parameters-not-in-optimizer", "learning-rate-too-low")

    min_steps: PositiveInt = 1
    """Steps before anything is said."""

    healthy = {
        "lr": [1e-3] * 20,
        "facts": {
            "model": {"": {"class": "Net", "unregistered": [], "n_unregistered": 0}},
            "graph": {"reached": 4, "unowned": [], "n_unowned": 0},
        },
    }
    faulty = {
        "lr": [1e-3] * 20,
        "facts": {
            "model": {
                "": {
                    "class": "Net",
                    "unregistered": [
                        {"path": "blocks[0]", "class": "Linear", "parameters": 56, "trainable": True, "owned": False}
                    ],
                }
            },
            "graph": {"reached": 4, "unowned": ["blocks[0].weight", "blocks[0].bias"], "n_unowned": 2},
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph, models = table(trace.facts.get("graph")), table(trace.facts.get("model"))
        if not number(graph.get("reached")) or not models:
            raise NotApplicable("what the loss reaches was not seen")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        unowned = texts(graph.get("unowned"))
        for label, model in models.items():
            found = [
                one
                for one in tables(table(model).get("unregistered"))
                if one.get("owned") is not True and _is_reached(text(one.get("path")), unowned)
            ]
            if found:
                first = found[0]
                size = sum(int(number(one.get("parameters")) or 0) for one in found)
                kinds = ", ".join(sorted({text(one.get("class")) or "?" for one in found}))
                yield Finding(
                    subject=text(first.get("path")),
                    message=f"{len(found)} trained in the forward pass but registered nowhere ({kinds}, {size} "
                    "elements): "
                    f"{text(first.get('path'))} in {text(table(model).get('class')) or label or 'the model'}; "
                    "parameters() does not list them, and no optimizer has them; 0 were expected",
                    advice=(
                        "Use nn.ModuleList or nn.ModuleDict instead of a plain list or dictionary.",
                        "Wrap a tensor that is to be trained in nn.Parameter.",
                        "Make the optimizer after that, so that model.parameters() lists them.",
                    ),
                    evidence={"n_unregistered": len(found), "n_elements": size},
                )


def _is_reached(path: str, unowned: list[str]) -> bool:
    return bool(path) and any(name == path or name.startswith((path + ".", path + "[")) for name in unowned)
