"""Why a rule cannot judge a trace: the checks the engine makes so that rules hold only logic."""

from __future__ import annotations

from .profiles import UNKNOWN, infer, is_past_guessing
from .rule import Rule
from .signals import LOSS
from .tables import number, table, tables, text
from .trace import ARMED_AFTER, Trace

UNKNOWN_PROFILE = UNKNOWN
"""The task profile of a run of which nothing better is known."""

OFTEN = 3
"""Times that weights are replaced in the middle of a training from which on its losses are no longer one curve."""

CROSSINGS = 0.2
"""Share of neighbouring losses of opposite sign from which on a loss is no distance to anything: one that falls through
zero, a negative log-likelihood, has a few about the place where it does."""

LEAST_LOSSES = 20


def profile_of(trace: Trace) -> str:
    """The task profile the run declares in its fact `profile`, else the one inferred from what was observed."""
    return infer(trace).name


def reason_to_skip(rule: Rule, trace: Trace, profile: str | None = None) -> str | None:
    """The first reason, readable by a user, why `rule` cannot judge `trace`; None when it can.

    In this order: task profile, needed signals with enough points, needed facts, finite values, end of warm-up.
    `profile` overrides the one the run declares.
    """
    told_by = ""
    if profile is None:
        profile, told_by = infer(trace)
    if profile not in rule.profiles:
        why = f" ({told_by})" if told_by else ""
        return f"not meant for the task profile '{profile}', only for {', '.join(sorted(rule.profiles))}{why}"
    for signal in rule.needs:
        # One without subjects is asked for as a whole; what a third party wrote under another is not it.
        count = trace.count(signal) if signal.subject else trace.series(signal).count
        if count == 0:
            return f"'{signal.name}' was not observed"
        if count < rule.history:
            return f"'{signal.name}' has {count} of the {rule.history} points needed"
    for name in rule.needs_facts:
        if trace.facts.get(name) is None:
            return f"the fact '{name}' is not known"
    if rule.finite:
        for signal in rule.needs:
            found = trace.nonfinite(signal)
            if found is not None:
                subject, step = found
                of = f" of '{subject}'" if subject else ""
                return f"'{signal.name}'{of} is not finite at step {step}"
    if rule.waits_for_warmup and not trace.is_armed:
        return f"the learning rate is still warming up: it has to stay without a rise for {ARMED_AFTER} steps"
    return None


def is_trained_already(trace: Trace) -> bool:
    """Whether the model knew its task before the first step: weights that were loaded, or trained earlier in the run.

    What is odd in a network that begins at random, a tiny rate, a loss that hardly falls, is as it should be there.
    """
    return table(trace.facts.get("signs")).get("pretrained") is True or is_past_guessing(trace)


def why_incomparable(trace: Trace, profile: str | None = None) -> str | None:
    """Why losses of different steps do not measure the same, for rules about their course; None where they do.

    So it is where the loss depends on an opponent or on what the model does itself, where the weight of a term changes
    while it is trained, and where weights are set back.
    """
    profile = profile or profile_of(trace)
    if profile in ("gan", "rl"):
        return f"in the task profile '{profile}' the loss says nothing of progress"
    if (number(table(trace.facts.get("signs")).get("reloads")) or 0) >= OFTEN:
        return "weights were replaced in the middle of the training, again and again"
    for term in tables(trace.facts.get("loss_terms")):
        if "factor" in term and term["factor"] is None and "count" not in term:
            return f"the weight of the term '{text(term.get('name'))}' changes while it is trained"
    losses = trace.series(LOSS)
    if len(losses) >= LEAST_LOSSES:
        pairs = zip(losses.values, losses.values[1:], strict=False)
        if sum(1 for one, next_one in pairs if one * next_one < 0) > CROSSINGS * len(losses):
            return "the loss takes both signs in turn"
    return None
