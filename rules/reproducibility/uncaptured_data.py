"""Data that was read and is not identified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace


class UncapturedData(Rule):
    """Some of the data that the run read is neither stored nor identified by a digest.

    ## Why it matters
    Whether a second run reads the same data cannot be told, and a difference in its results has one explanation more.

    ## What to try
    - Do what the message names; most often: set capture.data = true, or read from files instead of the network.
    - Write down where the data came from, and its version, as a parameter.

    ## When it is wrong
    Generated data needs no file. It is for information only: the tag `reproducible` is where it counts.

    ## References
    - Gundersen & Kjensmo 2018, State of the Art: Reproducibility in Artificial Intelligence.
    """

    phases = (Phase.CROSS_RUN,)  # asked when all is stored: data is looked at behind the end of the training
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("stored",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    healthy = {"facts": {"stored": {"gaps": [{"part": "code", "what": "a file is large", "blocking": False}]}}}
    faulty = {"facts": {"stored": {"gaps": [{"part": "data", "what": "data.bin is gone", "fix": "Keep data.bin."}]}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        gaps = _gaps(trace)
        if gaps:
            fixes = dict.fromkeys(fix for _, fix in gaps if fix.strip())
            yield Finding(
                message=f"{len(gaps)} parts of the data are not identified, first: {gaps[0][0]}; 0 expected",
                advice=tuple(fixes)[:3] or ("Write down the source and the version of the data as a parameter.",),
                evidence={"n_gaps": len(gaps)},
            )


def _gaps(trace: Trace) -> list[tuple[str, str]]:
    """What is missing of the data, and what to do about it."""
    stored = trace.facts.get("stored")
    listed = stored.get("gaps") if isinstance(stored, Mapping) else None
    if not isinstance(listed, list):
        raise NotApplicable("what was stored of the run has an unknown form")
    return [
        (str(gap.get("what") or "unnamed"), str(gap.get("fix") or ""))
        for gap in listed
        if isinstance(gap, Mapping) and gap.get("part") == "data" and gap.get("blocking") is not False
    ]
