"""Real trainings through the whole engine: a quick sample always, all of them in the slow test."""

import pytest
import torch

from tests.corpus.histories import FAULTY, HEALTHY
from tracker.rules import Registry, Settings, Severity, replay

torch.set_num_threads(1)
RULES = Registry.discover().instances(Settings())

QUICK_HEALTHY = ("mlp, Adam 1e-2", "mlp, one cycle", "mlp, from a checkpoint", "weak signal")
QUICK_FAULTY = ("Adam, rate x 100", "NaN in one image", "root of zero", "labels in another order", "inputs not scaled")


def verdict_on(records):
    trace, engine = replay(records, rules=RULES)
    return engine.verdict(trace), {record.rule for record in engine.findings if record.severity >= Severity.WARNING}


@pytest.mark.parametrize("name", QUICK_HEALTHY)
def test_a_healthy_training_raises_no_alarm(name):
    verdict, loud = verdict_on(HEALTHY[name](0))

    assert loud == set()
    assert verdict.suspicious == "false"


@pytest.mark.parametrize("name", QUICK_FAULTY)
def test_a_fault_is_found(name):
    train, expected = FAULTY[name]
    verdict, loud = verdict_on(train(0))

    assert loud & expected
    assert verdict.suspicious == "true"


def test_a_rate_too_high_is_one_headline_over_its_consequences():
    verdict, loud = verdict_on(FAULTY["SGD, rate x 10 000"][0](0))

    assert "nonfinite-loss" in loud
    assert verdict.findings[0].rule == "lr-out-of-range"
    assert "nonfinite-loss" in verdict.findings[0].explains


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", sorted(set(HEALTHY)))
def test_no_healthy_training_is_found_suspicious(name, seed):
    verdict, loud = verdict_on(HEALTHY[name](seed))

    assert loud == set()
    assert verdict.suspicious != "true"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAULTY))
def test_every_fault_is_found(name):
    train, expected = FAULTY[name]
    verdict, loud = verdict_on(train(1))

    assert loud & expected
    assert verdict.suspicious == "true"
