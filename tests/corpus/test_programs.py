"""The programs of the corpus under the rules: a telling sample always, all of them in the slow tests."""

import pytest
import torch

from tests.corpus.programs import Program, programs
from tests.corpus.running import Ran, run
from tracker.rules import Registry, replay

torch.set_num_threads(1)

PROGRAMS = {program.name: program for program in programs()}
SCRIPTS = {name: program for name, program in PROGRAMS.items() if program.path.name != "recipe.py"}
SAMPLE = (
    "softmax-layer-before-cross-entropy/faulty",
    "targets-with-an-extra-dimension/faulty",
    "head-replaced-after-optimizer/faulty",
    "missing-zero-grad-cnn/faulty",
    "eval-never-back-to-train/faulty",
    "learning-rate-half-with-adam/faulty",
    "steplr-stepped-per-batch/faulty",
    "missing-values-not-imputed/faulty",
    "digits-read-class-by-class/faulty",
    "relu-biases-at-minus-ten/faulty",
    "softmax-layer-before-cross-entropy/repaired",
    "missing-zero-grad-cnn/repaired",
    "steplr-stepped-per-batch/repaired",
    "healthy/small-gpt-cosine",
    "healthy/gan-on-a-ring",
    "healthy/forecasting-in-time-order",
)
"""Run with the fast tests."""


def ran(program: Program, seed: int = 0) -> Ran:
    return run(program.path, *program.arguments, "--seed", str(seed))


def judged_again(found: Ran) -> dict[str, object]:
    """The verdict on what the journal holds; that of the live run is part of the records and not looked at."""
    trace, engine = replay(found.records)
    verdict = engine.verdict(trace).as_json()
    return {key: verdict[key] for key in ("suspicious", "findings", "clear")}


def test_the_corpus_is_large_enough_and_names_rules_that_exist():
    pairs = [program for program in SCRIPTS.values() if program.is_faulty]
    healthy = [name for name in SCRIPTS if name.startswith("healthy/")]
    rules = Registry.discover().rules

    assert len(pairs) >= 60
    assert len(healthy) >= 40
    assert all(program.path.is_file() for program in PROGRAMS.values())
    assert [(p.name, name) for p in pairs for name in p.names if name not in rules] == []


def test_no_program_knows_of_the_tracker():
    assert [name for name, program in SCRIPTS.items() if "tracker" in program.path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("name", SAMPLE)
def test_a_program_of_the_sample_gets_the_verdict_it_deserves(name):
    program = PROGRAMS[name]
    found = ran(program)

    assert found.broken == []
    if program.is_faulty:
        assert found.verdict["suspicious"] == "true"
        assert found.headlines[0] in program.names
    else:
        assert found.headlines == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_program_is_not_changed_and_its_verdict_can_be_had_again(name):
    program = PROGRAMS[name]
    found = ran(program, 1)
    bare = run(program.path, *program.arguments, "--seed", "1", is_observed=False)

    assert found.output == bare.output
    assert found.code == bare.code
    assert found.broken == []
    assert judged_again(found) == {key: found.verdict[key] for key in ("suspicious", "findings", "clear")}
