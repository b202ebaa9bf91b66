"""Random generators: reading them draws nothing, restoring them repeats every draw, seeds are found or unknown."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tracker.capture.randomness import RandomState, capture_randomness, restore, seeded_facts
from tracker.capture.seeds import numpy_origin, python_origin

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _keep_generators():
    before = RandomState.capture()
    yield
    assert restore(before) == []


def draws():
    return (
        [random.random() for _ in range(5)],
        random.gauss(0, 1),
        np.random.rand(7).tolist(),
        np.random.randn(3).tolist(),
        torch.rand(9).tolist(),
        torch.randperm(20).tolist(),
        torch.randn(3).tolist(),
    )


def raw_states():
    numpy_state = np.random.get_state()
    return (
        random.getstate(),
        (numpy_state[0], numpy_state[1].tobytes(), *numpy_state[2:]),
        torch.get_rng_state().numpy().tobytes(),
    )


def test_capturing_draws_nothing_from_any_generator():
    draws()
    before = raw_states()

    for _ in range(3):
        RandomState.capture()
        seeded_facts(RandomState.capture(), RandomState.capture())

    assert raw_states() == before


def test_a_restored_state_repeats_every_draw_bit_for_bit():
    random.seed(1)
    random.gauss(0, 1)  # leaves the second half of a pair behind, which is part of the state
    np.random.seed(2)
    np.random.randn(1)
    torch.manual_seed(3)
    stored = json.loads(json.dumps(RandomState.capture().as_json()))
    first = draws()
    draws()

    assert restore(RandomState.from_json(stored)) == []
    assert draws() == first


def test_a_restored_state_is_equal_to_the_captured_one_in_every_bit():
    before = raw_states()
    state = RandomState.capture()
    draws()

    restore(state)

    assert raw_states() == before
    assert RandomState.capture() == state


def test_torch_remembers_its_seed_after_a_restore():
    torch.manual_seed(77)
    torch.rand(3)
    state = RandomState.capture()
    torch.manual_seed(78)

    restore(state)

    assert torch.initial_seed() == 77


def test_a_stored_state_is_small_and_its_digests_change_with_a_draw():
    state = RandomState.capture()
    random.random()
    after = RandomState.capture()

    assert len(json.dumps(state.as_json())) < 20_000
    assert set(state.digests()) == {"python", "numpy", "torch"}
    assert state.digests()["python"] != after.digests()["python"]
    assert state.digests()["torch"] == after.digests()["torch"]


def test_another_bit_generator_of_numpy_is_captured_and_restored_too():
    kept = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(5))
        state = RandomState.from_json(json.loads(json.dumps(RandomState.capture().as_json())))
        first = np.random.rand(5).tolist()

        assert restore(state) == []
        assert np.random.rand(5).tolist() == first
    finally:
        np.random.set_bit_generator(kept)


def test_a_state_of_another_schema_is_refused():
    stored = RandomState.capture().as_json() | {"schema": 99}

    with pytest.raises(ValueError, match="schema 99"):
        RandomState.from_json(stored)


@pytest.mark.parametrize("drawn", [0, 1, 1300])
@pytest.mark.parametrize("seed", [0, 5, 2**31, 2**40 + 3, -7])
def test_the_number_given_to_random_seed_is_found_again(seed, drawn):
    random.seed(seed)
    for _ in range(drawn):
        random.random()

    origin = python_origin(random.getstate()[1][:-1], 8)

    assert (origin.seeded, origin.seed) == (True, abs(seed))


def test_a_string_given_to_random_seed_is_known_as_a_seed():
    random.seed("experiment 3")
    random.random()

    assert python_origin(random.getstate()[1][:-1]).seeded is True


@pytest.mark.parametrize("drawn", [0, 1, 700])
@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_the_number_given_to_numpy_seed_is_found_again(seed, drawn):
    np.random.seed(seed)
    np.random.rand(drawn)

    origin = numpy_origin([int(word) for word in np.random.get_state()[1]], 8)

    assert (origin.seeded, origin.seed) == (True, seed)


def test_a_generator_fed_from_the_system_is_not_taken_for_seeded():
    random.seed()
    fresh = python_origin(random.getstate()[1][:-1])
    random.random()
    drawn = python_origin(random.getstate()[1][:-1])

    assert fresh.seeded is False
    assert drawn.seeded is None


def test_draws_alone_after_the_import_do_not_look_like_a_seed():
    random.seed()
    at_import = RandomState.capture()
    for _ in range(900):
        random.random()

    facts = seeded_facts(at_import, RandomState.capture())

    assert facts["python_seeded"] is False


def test_too_many_draws_leave_the_answer_open_instead_of_guessed():
    random.seed()
    at_import = RandomState.capture()
    for _ in range(5000):
        random.random()

    assert seeded_facts(at_import, RandomState.capture(), max_generations=2)["python_seeded"] is None


SCRIPT = """
import sys, json
from tracker.capture.randomness import RandomState, capture_at_import, seeded_facts
start = capture_at_import()
import random, numpy, torch
torch.set_num_threads(1)
{body}
facts = seeded_facts(start, RandomState.capture())
print(json.dumps(facts))
"""


def facts_of(body, **env):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"} | env
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_script_that_seeds_everything_is_known_as_seeded_with_its_seeds():
    facts = facts_of("random.seed(1); numpy.random.seed(2); torch.manual_seed(3); torch.rand(4)", PYTHONHASHSEED="0")

    assert [facts[f"{name}_seeded"] for name in ("python", "numpy", "torch")] == [True, True, True]
    assert [facts[f"{name}_seed"] for name in ("python", "numpy", "torch")] == ["1", "2", "3"]
    assert facts["hash_fixed"] is True
    assert facts["state_captured"] is True


def test_a_script_that_seeds_nothing_is_known_as_unseeded_or_unknown_never_as_seeded():
    facts = facts_of("random.random(); numpy.random.rand(); torch.rand(4)")

    assert facts["python_seeded"] is False
    assert facts["numpy_seeded"] is False
    assert facts["torch_seeded"] is not True
    assert facts["hash_fixed"] is False


def test_torch_that_was_loaded_before_and_keeps_its_seed_is_unseeded():
    torch.seed()
    start = RandomState.capture()
    torch.rand(3)

    assert seeded_facts(start, RandomState.capture())["torch_seeded"] is False


def test_random_that_was_drawn_from_before_the_import_is_an_advisory_gap():
    random.seed()
    random.random()
    late = RandomState.capture()

    gaps = capture_randomness(late, late).gaps

    assert any("before the tracker was imported" in gap.what and not gap.blocking for gap in gaps)


def test_in_a_re_run_early_draws_are_no_gap():
    random.seed()
    torch.seed()
    random.random()
    torch.rand(1)
    late = RandomState.capture()

    told = " ".join(gap.what for gap in capture_randomness(late, late).gaps)
    assert "random had been drawn" in told
    assert "torch's generator had been drawn" in told
    assert not [gap for gap in capture_randomness(late, late, is_rerun=True).gaps if "before the tracker" in gap.what]


def test_a_seeded_generator_has_no_gap_of_early_draws():
    random.seed(4)
    np.random.seed(4)
    torch.manual_seed(4)
    random.random()
    torch.rand(1)
    np.random.rand()
    state = RandomState.capture()

    assert not [gap for gap in capture_randomness(state, state).gaps if "before the tracker" in gap.what]


def test_an_unreadable_generator_is_a_blocking_gap():
    class Broken:
        mtrand = None

        def get_state(self, legacy):
            raise RuntimeError("gone")

    real = sys.modules["numpy.random"]
    sys.modules["numpy.random"] = Broken()
    try:
        state = RandomState.capture()
    finally:
        sys.modules["numpy.random"] = real

    assert state.failed == ("numpy",)
    assert state.python is not None
    assert [gap.blocking for gap in capture_randomness(state, state).gaps if "numpy" in gap.what] == [True]


def test_cuda_generators_that_come_up_later_start_at_offset_zero_of_their_seed():
    import base64
    import struct

    entry = RandomState.capture()
    philox = struct.pack("<Qq", 123, 4096)
    later = RandomState(cuda={"0": {"seed": 123, "state": base64.b64encode(philox).decode()}})

    start = entry.with_cuda_since(later).cuda["0"]

    assert struct.unpack("<Qq", base64.b64decode(start["state"])) == (123, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_is_not_initialised_by_a_capture_and_its_draws_are_repeated():
    entry = RandomState.capture()

    assert torch.cuda.is_initialized() or entry.cuda == {}

    first = torch.rand(4, device="cuda").tolist()
    start = entry.with_cuda_since(RandomState.capture())
    restore(start)

    assert torch.rand(4, device="cuda").tolist() == first


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_draw_without_a_seed_before_the_tracker_is_a_gap_unless_a_seed_follows(name):
    draw = {"numpy": "import numpy as np; np.random.rand()", "torch": "import torch; torch.rand(1)"}[name]
    seed = {"numpy": "np.random.seed(3)", "torch": "torch.manual_seed(3)"}[name]
    code = """
import json, sys
{before}
from tracker.capture.randomness import RandomState, capture_at_import, capture_randomness
start = capture_at_import()
{after}
gaps = capture_randomness(start, RandomState.capture()).gaps
print(json.dumps([[gap.what.split("'")[0], gap.blocking] for gap in gaps if "unseeded" in gap.what]))
"""

    def gaps(before, after=""):
        command = [sys.executable, "-c", code.format(before=before, after=after)]
        return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert gaps(draw) == [[name, True]]
    assert gaps(draw, seed) == [[name, False]]
    assert gaps(draw.split(";")[0], draw) == []
