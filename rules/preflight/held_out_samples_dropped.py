"""A held-out loader that leaves samples out."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table
from .splits import is_held_out


class HeldOutSamplesDropped(Rule):
    """A held-out loader drops its last batch, because that is smaller than the others.

    ## Why it matters
    The score is that of a part of the set; and where the loader shuffles as well, of another part each time.

    ## What to try
    - Leave `drop_last` out for what is evaluated: it is meant for training.

    ## When it is wrong
    A model that takes batches of one size only has no other way. Hence this is a remark only.

    ## References
    - PyTorch, DataLoader: drop_last.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    healthy = {
        "facts": {"drill/data-at-the-door": {"splits": {"val": {"length": 300, "batch_size": 64, "drop_last": False}}}}
    }
    faulty = {
        "facts": {"drill/data-at-the-door": {"splits": {"val": {"length": 300, "batch_size": 64, "drop_last": True}}}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        splits = table(table(trace.facts.get("drill/data-at-the-door")).get("splits"))
        held_out = {split: table(about) for split, about in splits.items() if is_held_out(split)}
        if not held_out:
            raise NotApplicable("no held-out loader was drawn from")
        for split, about in held_out.items():
            length, size = number(about.get("length")) or 0.0, number(about.get("batch_size")) or 0.0
            if about.get("drop_last") is True and size >= 1 and length % size:
                yield Finding(
                    subject=split,
                    message=f"{length % size:.0f} of {length:.0f} samples of {split} are in no batch, as the last one "
                    f"is dropped; 0 expected",
                    advice="Leave drop_last out for what is evaluated.",
                    evidence={"dropped": length % size, "samples": length},
                )
