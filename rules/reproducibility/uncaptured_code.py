"""Code that was run and is not stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace


class UncapturedCode(Rule):
    """Some of the code that ran is not stored with the run.

    ## Why it matters
    What cannot be restored cannot be run again, compared, or explained.

    ## What to try
    - Keep the script in a git repository; uncommitted changes are stored too.
    - Raise the size limit, or commit large files, where a file was left out for its size.

    ## When it is wrong
    Files that are secret or generated are left out on purpose. It is for information only, as it says nothing about the
    health of the training: the tag `reproducible` is where it counts.

    ## References
    - Gundersen & Kjensmo 2018, State of the Art: Reproducibility in Artificial Intelligence: code is the first of the
      documents without which an experiment cannot be repeated.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("capture",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    healthy = {"facts": {"capture": {"gaps": [], "code": {"kind": "git"}}}}
    faulty = {
        "facts": {
            "capture": {
                "gaps": [{"part": "code", "what": "train.py was left out: 12 MB", "fix": "Raise max_file_mb to 20."}],
                "code": {"kind": "git"},
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        capture = trace.facts.get("capture")
        if not isinstance(capture, Mapping):
            raise NotApplicable("what is known of the stored code has an unknown form")
        code, listed = capture.get("code"), capture.get("gaps")
        gaps = [gap for gap in listed if isinstance(gap, Mapping)] if isinstance(listed, list) else []
        gaps = [gap for gap in gaps if gap.get("part") == "code"]
        kind = code.get("kind") if isinstance(code, Mapping) else None
        if kind is None and not isinstance(listed, list):
            raise NotApplicable("whether the code was stored is not known")

        if kind == "none":
            yield Finding(
                message="0 files of code are stored; those that ran are expected",
                advice="Keep the script in a git repository, or run it from a file.",
                evidence={"n_gaps": float(len(gaps))},
            )
        elif gaps:
            first = str(gaps[0].get("what") or "unnamed")
            fixes = dict.fromkeys(str(gap["fix"]) for gap in gaps if gap.get("fix"))
            yield Finding(
                message=f"{len(gaps)} parts of the code are not stored, first: {first}; 0 expected",
                advice=tuple(fixes)[:3] or ("Commit the missing files, or raise the size limit of the capture.",),
                evidence={"n_gaps": float(len(gaps))},
            )
