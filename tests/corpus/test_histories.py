"""Real trainings under the tracker: a quick sample always, all of them in the slow tests."""

import json

import pytest
import torch

from tests.corpus.histories import FAULTY, HEALTHY
from tests.corpus.observing import Observed, bare, observe
from tracker.rules import replay

torch.set_num_threads(1)

QUICK_HEALTHY = ("mlp, Adam 1e-2", "mlp, one cycle", "mlp, from a checkpoint", "weak signal")
QUICK_FAULTY = ("Adam, rate x 100", "NaN in one image", "root of zero", "labels in another order", "inputs not scaled")


def is_sound(observed: Observed) -> bool:
    """Whether the tracker did its part: nothing of it failed, and a replay of what is stored says the same."""
    trace, engine = replay(observed.records)
    again = json.loads(json.dumps(engine.verdict(trace).as_json(), default=str))
    live = json.loads(json.dumps(observed.verdict, default=str))
    return observed.faults == {} and observed.crashed == [] and again == live


@pytest.mark.parametrize("name", QUICK_HEALTHY)
def test_a_healthy_training_raises_no_alarm(name):
    observed = observe(HEALTHY[name], 0)

    assert observed.loud == []
    assert observed.verdict["suspicious"] == "false"
    assert is_sound(observed)


@pytest.mark.parametrize("name", QUICK_FAULTY)
def test_a_fault_is_found(name):
    train, expected = FAULTY[name]
    observed = observe(train, 0)

    assert expected & set(observed.loud)
    assert observed.verdict["suspicious"] == "true"
    assert is_sound(observed)


def test_a_rate_too_high_is_one_headline_over_its_consequences():
    observed = observe(FAULTY["SGD, rate x 10 000"][0], 0)
    headline = observed.verdict["findings"][0]

    assert "nonfinite-loss" in observed.loud
    assert headline["rule"] == "learning-rate-too-high"
    assert "nonfinite-loss" in headline["explains"]


@pytest.mark.parametrize("name", ["mlp, one cycle", "adversarial"])
def test_an_observed_training_has_the_weights_of_a_bare_one(name):
    assert observe(HEALTHY[name], 3).weights == bare(HEALTHY[name], 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(HEALTHY)))
def test_no_healthy_training_is_found_suspicious_and_none_is_changed(name):
    for seed in (1, 2):
        observed = observe(HEALTHY[name], seed)

        assert observed.loud == []
        assert observed.verdict["suspicious"] != "true"
        assert is_sound(observed)
    assert observed.weights == bare(HEALTHY[name], seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAULTY))
def test_every_fault_is_found_and_no_training_is_changed(name):
    train, expected = FAULTY[name]
    observed = observe(train, 1)

    assert expected & set(observed.loud)
    assert observed.verdict["suspicious"] == "true"
    assert is_sound(observed)
    assert observed.weights == bare(train, 1)
