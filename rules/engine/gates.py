"""Why a rule cannot judge a trace: the checks the engine makes so that rules hold only logic."""

from __future__ import annotations

from .rule import Rule
from .trace import ARMED_AFTER, Trace

UNKNOWN_PROFILE = "unknown"
"""The task profile of a run of which nothing better is known."""


def profile_of(trace: Trace) -> str:
    """The task profile the run declares in its fact `profile`, or `unknown`."""
    profile = trace.facts.get("profile")
    return profile if isinstance(profile, str) and profile else UNKNOWN_PROFILE


def reason_to_skip(rule: Rule, trace: Trace, profile: str | None = None) -> str | None:
    """The first reason, readable by a user, why `rule` cannot judge `trace`; None when it can.

    In this order: task profile, needed signals with enough points, needed facts, finite values, end of warm-up.
    `profile` overrides the one the run declares.
    """
    profile = profile or profile_of(trace)
    if profile not in rule.profiles:
        return f"not meant for the task profile '{profile}', only for {', '.join(sorted(rule.profiles))}"
    for signal in rule.needs:
        count = trace.count(signal)
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
