import pytest

from tracker.rules import NotApplicable, Severity
from tracker.rules.reproducibility.nondeterministic_settings import NondeterministicSettings
from tracker.rules.reproducibility.uncaptured_code import UncapturedCode
from tracker.rules.reproducibility.uncaptured_data import UncapturedData
from tracker.rules.reproducibility.unseeded_run import UnseededRun
from tracker.rules.testing import judge


def test_reproducibility_says_nothing_about_health():
    assert UnseededRun.severity is UncapturedCode.severity is Severity.INFO


def test_the_unseeded_generators_are_named():
    (finding,) = judge(
        UnseededRun(), facts={"randomness": {"python_seeded": True, "numpy_seeded": False, "torch_seeded": False}}
    )

    assert finding.message.startswith("2 of 3 random number generators not seeded (numpy, torch)")
    assert len(finding.advice) == 2


def test_a_generator_that_nothing_was_drawn_from_need_not_be_seeded():
    seeding = {"python_seeded": False, "numpy_seeded": False, "torch_seeded": True, "torch_used": True}
    unused = {"python_used": False, "numpy_used": False}

    assert judge(UnseededRun(), facts={"randomness": {**seeding, **unused}}) == []
    assert judge(UnseededRun(), facts={"randomness": {**seeding, **unused, "numpy_used": True}})
    assert (
        judge(UnseededRun(), facts={"randomness": {f"{name}_used": False for name in ("python", "torch")} | unused})
        == []
    )


def test_a_run_whose_states_are_stored_is_said_to_be_replayable():
    (finding,) = judge(UnseededRun(), facts={"randomness": {"torch_seeded": False, "state_captured": True}})

    assert "can be replayed" in finding.message


@pytest.mark.parametrize("randomness", [{}, {"torch_seeded": None}, "odd", [1]])
def test_what_is_not_known_of_the_generators_is_not_called_seeded(randomness):
    with pytest.raises(NotApplicable):
        judge(UnseededRun(), facts={"randomness": randomness})


def test_gaps_of_other_parts_are_no_gaps_of_the_code():
    gaps = [{"part": "data", "what": "a table read over the network", "fix": "Store it."}]

    assert judge(UncapturedCode(), facts={"capture": {"gaps": gaps, "code": {"kind": "git"}}}) == []


def test_a_gap_of_the_code_is_told_with_its_fix():
    gaps = [{"part": "code", "what": "big.py: 12 MB", "fix": "Raise max_file_mb."}, {"part": "code", "what": "b.py"}]
    (finding,) = judge(UncapturedCode(), facts={"capture": {"gaps": gaps, "code": {"kind": "git"}}})

    assert finding.message == "2 parts of the code are not stored, first: big.py: 12 MB; 0 expected"
    assert finding.advice == ("Raise max_file_mb.",)


def test_code_that_is_not_stored_at_all_is_found():
    assert judge(UncapturedCode(), facts={"capture": {"gaps": [], "code": {"kind": "none"}}})


@pytest.mark.parametrize("capture", [{}, "odd", {"code": {}}])
def test_what_is_not_known_of_the_code_is_not_called_stored(capture):
    with pytest.raises(NotApplicable):
        judge(UncapturedCode(), facts={"capture": capture})


@pytest.mark.parametrize(
    ("told", "n_settings"),
    [
        ({"cuda": True, "deterministic_algorithms": False, "cudnn_benchmark": True}, 2),
        ({"cuda": True, "deterministic_algorithms": False, "cudnn_benchmark": False}, 1),
        ({"cuda": True, "deterministic_algorithms": True, "cudnn_benchmark": False}, 0),
        ({"cuda": False}, 0),
    ],
)
def test_settings_count_on_a_gpu_only(told, n_settings):
    found = judge(NondeterministicSettings(), facts={"determinism": told})

    assert [one.evidence["n_settings"] for one in found] == ([n_settings] if n_settings else [])


def test_only_gaps_that_stand_in_the_way_are_told():
    gaps = [
        {"part": "data", "what": "a harmless thing", "blocking": False},
        {"part": "data", "what": "the thing", "fix": "Keep it.", "blocking": True},
        {"part": "code", "what": "another", "blocking": True},
    ]

    (finding,) = judge(UncapturedData(), facts={"stored": {"gaps": gaps}})

    assert "1 " in finding.message
    assert "first: the thing" in finding.message
    assert finding.advice == ("Keep it.",)
    assert judge(UncapturedData(), facts={"stored": {"gaps": gaps[:1]}}) == []
