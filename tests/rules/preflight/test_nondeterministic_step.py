"""When two identical steps that differ are a fault, and when they are a note."""

import pytest

from tracker.rules.preflight.differing_bits import DifferingBits
from tracker.rules.preflight.nondeterministic_step import NondeterministicStep
from tracker.rules.testing import judge


def parting(kind="module", loss=0.1, gradient=0.1, **others):
    return {"kind": kind, "name": "noise", "type": "Noise", "loss": loss, "gradient": gradient, **others}


def said(**fact):
    """(findings of the warning, findings of the note)."""
    facts = {"drill/determinism": {"first": 1.0, "second": 1.1, "device": "cpu", **fact}}
    return judge(NondeterministicStep(), facts=facts), judge(DifferingBits(), facts=facts)


def test_a_model_that_differs_from_itself_is_a_fault():
    warnings, notes = said(loop=parting(), alone=parting(), is_script=True)

    assert [one.subject for one in warnings] == ["noise"]
    assert not notes


@pytest.mark.parametrize("kind", ["inputs", "module", "path", "loss", "gradient", "optimizer"])
def test_what_only_a_scripts_loop_makes_differ_is_a_note(kind):
    warnings, notes = said(loop=parting(kind), alone={"kind": ""}, is_script=True)

    assert not warnings
    assert len(notes) == 1


def test_a_rate_that_follows_a_schedule_is_not_worth_a_note():
    assert said(loop=parting("schedule"), alone={"kind": ""}, is_script=True) == ([], [])


def test_without_a_script_the_loop_is_ours_and_the_optimizer_is_to_blame():
    warnings, notes = said(loop=parting("optimizer", 0.0, 0.0, end=0.1), alone={"kind": ""}, is_script=False)

    assert len(warnings) == 1
    assert not notes


@pytest.mark.parametrize(
    ("device", "loss", "gradient", "is_fault"),
    [
        ("cuda", 9e-6, 9e-3, False),
        ("cuda", 2e-5, 0.0, True),
        ("cuda", 0.0, 0.02, True),
        ("cpu", 9e-8, 9e-5, False),
        ("cpu", 9e-6, 9e-3, True),
    ],
)
def test_rounding_is_a_note_where_sums_have_no_order(device, loss, gradient, is_fault):
    both = parting("gradient", loss, gradient)
    warnings, notes = said(loop=both, alone=both, device=device, operations=["scatter_add_cuda_kernel"])

    assert (len(warnings), len(notes)) == ((1, 0) if is_fault else (0, 1))
    assert is_fault or "scatter_add_cuda_kernel" in notes[0].message


def test_the_operation_that_torch_names_comes_first():
    (finding,), _ = said(loop=parting(), alone=parting(), operations=["put_"], unwritten=True)

    assert "put_" in finding.advice[0]
    assert "torch.empty" in finding.advice[1]
