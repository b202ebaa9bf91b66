"""What only a GPU can show: the same bits, and no synchronisation on the steps that are not looked at closely."""

import pytest
import torch

from tests.trainings import readings, records, tracked
from tracker.rules.engine.records import Array

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

STEPS = 45


def a_training(steps: int = STEPS) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Losses and final weights of a small classifier on the GPU; the losses are left there."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs, labels = torch.randn(256, 32, device="cuda"), torch.randint(0, 4, (256,), device="cuda")
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses, [parameter.detach().clone() for parameter in model.parameters()]


def test_an_observed_training_on_a_gpu_has_the_same_bits() -> None:
    bare_losses, bare_weights = a_training()
    state = torch.cuda.get_rng_state()

    with tracked("gpu") as run:
        losses, weights = a_training()

    assert torch.equal(torch.stack(losses), torch.stack(bare_losses))
    assert all(torch.equal(a, b) for a, b in zip(weights, bare_weights, strict=True))
    assert torch.equal(torch.cuda.get_rng_state(), state)
    observed = readings(run, "loss")
    assert [value for _, value in observed] == torch.stack(bare_losses).tolist()
    assert [step for step, _ in observed] == list(range(STEPS))


def test_a_step_that_is_not_looked_at_closely_never_waits_for_the_gpu() -> None:
    with tracked("gpu") as run:
        a_training(1)  # the first step captures and names, and may wait
        session = run._session
        assert session is not None
        session.training.governor.is_close = lambda step: False
        session.training.governor.every = 10_000
        torch.cuda.set_sync_debug_mode("error")
        try:
            a_training(20)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_an_amp_training_records_the_unscaled_loss() -> None:
    expected = []
    with tracked("amp") as run:
        torch.manual_seed(0)
        model = torch.nn.Linear(32, 4).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cuda")
        inputs, labels = torch.randn(64, 32, device="cuda"), torch.randint(0, 4, (64,), device="cuda")
        for _ in range(12):
            optimizer.zero_grad()
            with torch.autocast("cuda", dtype=torch.float16):
                loss = torch.nn.functional.cross_entropy(model(inputs), labels)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            expected.append(float(loss))

    assert [value for _, value in readings(run, "loss")] == pytest.approx(expected)
    assert all(value < 100 for _, value in readings(run, "grad_norm"))


def test_histograms_are_made_on_the_gpu_and_come_home_by_the_end_of_the_epoch() -> None:
    with tracked("gpu") as run:
        a_training(1)

    found = {r.subject: r for r in records(run) if isinstance(r, Array) and r.signal == "weight/histogram"}
    assert [sum(found[name].values[2:]) for name in ("0.weight", "2.bias")] == [32 * 64, 4]
    assert {r.signal for r in records(run) if isinstance(r, Array)} >= {"grad/histogram", "output/histogram"}
