"""Random numbers that nobody chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace


class UnseededRun(Rule):
    """A random number generator that the run drew from was not seeded.

    ## Why it matters
    A second run of the same script gives other numbers, and a difference between two runs may be nothing but chance.

    ## What to try
    - Call torch.manual_seed, numpy.random.seed and random.seed at the top of the script.
    - Make the seed a parameter, so that several can be tried.

    ## When it is wrong
    Runs that are repeated to see the spread over seeds are unseeded on purpose. When the states of the generators were
    stored, this very run can still be replayed; the message says so. It is for information only, as it says nothing
    about the health of the training: the tag `reproducible` is where it counts.

    ## References
    - PyTorch, Reproducibility notes. Karpathy 2019, A Recipe for Training Neural Networks, "fix random seed".
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("randomness",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    healthy = {"facts": {"randomness": {"python_seeded": True, "numpy_seeded": True, "torch_seeded": True}}}
    faulty = {"facts": {"randomness": {"python_seeded": None, "numpy_seeded": False, "torch_seeded": False}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        randomness = trace.facts.get("randomness")
        if not isinstance(randomness, Mapping):
            raise NotApplicable("what is known of the random number generators has an unknown form")
        names = ("python", "numpy", "torch")
        used = [name for name in names if randomness.get(f"{name}_used") is not False]
        if not used:
            return
        known = {name: seeded for name in used if isinstance(seeded := randomness.get(f"{name}_seeded"), bool)}
        if not known:
            raise NotApplicable("whether the random number generators that the run drew from were seeded is not known")
        unseeded = [name for name, seeded in known.items() if not seeded]
        if not unseeded:
            return
        stored = bool(randomness.get("state_captured"))
        yield Finding(
            message=f"{len(unseeded)} of {len(known)} random number generators not seeded ({', '.join(unseeded)}); "
            + ("their states were stored: this run can be replayed, a new one will differ" if stored else "0 expected"),
            advice=tuple(_ADVICE[name] for name in reversed(unseeded)),
            evidence={"n_unseeded": len(unseeded), "n_generators": len(known), "state_captured": float(stored)},
        )


_ADVICE = {
    "python": "Call random.seed(seed) at the top of the script.",
    "numpy": "Call numpy.random.seed(seed), or make generators with numpy.random.default_rng(seed).",
    "torch": "Call torch.manual_seed(seed) at the top of the script.",
}
