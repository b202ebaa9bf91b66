"""Settings under which the same run gives other numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace


class NondeterministicSettings(Rule):
    """The run used a GPU, and nothing asked for algorithms that give the same numbers each time.

    ## Why it matters
    Sums on a GPU come in another order each time unless they are told not to: with the same code, data and seeds, two
    runs drift apart within some hundred steps.

    ## What to try
    - Call torch.use_deterministic_algorithms(True), with CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment.
    - Set torch.backends.cudnn.benchmark = False: it times kernels and may choose others the next time.

    ## When it is wrong
    Deterministic kernels cost time, and most trainings do not need the same bits twice. It is for information only: it
    says nothing about the health of the training.

    ## References
    - PyTorch, Reproducibility notes.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("determinism",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    healthy = {"facts": {"determinism": {"cuda": True, "deterministic_algorithms": True, "cudnn_benchmark": False}}}
    faulty = {"facts": {"determinism": {"cuda": True, "deterministic_algorithms": False, "cudnn_benchmark": True}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = trace.facts.get("determinism")
        if not isinstance(told, Mapping) or not isinstance(told.get("cuda"), bool):
            raise NotApplicable("what kernels the run could use is not known")
        if not told["cuda"]:
            return  # on a CPU torch's own kernels repeat with the same number of threads
        advice = []
        if told.get("deterministic_algorithms") is False:
            advice.append("Call torch.use_deterministic_algorithms(True), with CUBLAS_WORKSPACE_CONFIG=:4096:8 set.")
        if told.get("cudnn_benchmark") is True:
            advice.append("Set torch.backends.cudnn.benchmark = False.")
        if advice:
            yield Finding(
                message=f"{len(advice)} settings let the GPU give other numbers each time; 0 expected where runs are "
                "to be repeated bit by bit",
                advice=tuple(advice),
                evidence={"n_settings": len(advice)},
            )
