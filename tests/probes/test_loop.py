"""The order of a step, what becomes of its gradients, accumulation and clipping."""

import gc

import pytest
import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from tests.trainings import data, facts, fault_parts, loader, mlp, readings, tracked
from tracker.probes.loop import Loop, _from_its_beginning, _without_repeats


def loop_of(body, n=4, kind=torch.optim.SGD, **options):
    """Runs `body(model, optimizer, x, y)` n times; the run."""
    model, (x, y) = mlp(), data()
    optimizer = kind(model.parameters(), 0.01, **options)
    with tracked() as run:
        for _ in range(n):
            body(model, optimizer, x, y)
    assert fault_parts(run) == []
    return run


def test_what_repeats_stands_there_once():
    step = ["forward", "backward"]

    assert _without_repeats(["zero_grad", *step * 4, "step"]) == ["zero_grad", *step, "step"]
    assert _without_repeats([*["zero_grad", *step] * 3, "step"]) == ["zero_grad", *step, "step"]
    assert _without_repeats(["a", "b", "a"]) == ["a", "b", "a"]
    assert _from_its_beginning(["scheduler", "zero_grad", "backward"]) == ["zero_grad", "backward", "scheduler"]


def test_the_order_of_a_usual_step():
    schedules = []

    def body(model, optimizer, x, y):
        if not schedules:
            schedules.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9))
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedules[0].step()

    run = loop_of(body)

    assert facts(run, "loop")[-1] == {
        "order": ["zero_grad", "forward", "backward", "clip", "step", "scheduler"],
        "grads_at_backward": "none",
        "discarded": False,
        "wiped": False,
    }


def no_reset(model, optimizer, x, y):
    functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def reset_by_hand(model, optimizer, x, y):
    for p in model.parameters():
        p.grad = None
    no_reset(model, optimizer, x, y)


def reset_to_zero(model, optimizer, x, y):
    optimizer.zero_grad(set_to_none=False)
    no_reset(model, optimizer, x, y)


def reset_behind(model, optimizer, x, y):
    no_reset(model, optimizer, x, y)
    model.zero_grad()


@pytest.mark.parametrize(
    ("body", "state"),
    [(no_reset, "kept"), (reset_by_hand, "none"), (reset_to_zero, "zero"), (reset_behind, "none")],
)
def test_gradients_of_an_earlier_step_are_told_from_those_that_were_reset(body, state):
    run = loop_of(body)

    assert facts(run, "loop")[-1]["grads_at_backward"] == state
    assert facts(run, "loop")[-1]["discarded"] is False


@pytest.mark.parametrize("to_none", [False, True])
def test_gradients_that_are_reset_ahead_of_the_step_are_told(to_none):
    def body(model, optimizer, x, y):
        functional.cross_entropy(model(x), y).backward()
        optimizer.zero_grad(set_to_none=to_none)
        optimizer.step()

    loop = facts(loop_of(body), "loop")[-1]

    assert loop["discarded"] is True
    assert loop["order"] == ["forward", "backward", "zero_grad", "step"]


def test_clipping_gradients_does_not_discard_them():
    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        (functional.cross_entropy(model(x), y) * 0.0).backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    assert facts(loop_of(body), "loop")[-1]["discarded"] is False


def test_the_models_of_a_gan_do_not_keep_each_others_gradients():
    generator, critic, (x, _) = mlp(4, 6), mlp(6, 1, seed=1), data()
    g_opt, d_opt = torch.optim.SGD(generator.parameters(), 0.01), torch.optim.SGD(critic.parameters(), 0.01)
    with tracked() as run:
        for _ in range(6):
            fake = generator(torch.ones(24, 4))
            d_opt.zero_grad()
            critic(x).mean().backward()
            critic(fake.detach()).mean().neg().backward()
            d_opt.step()
            g_opt.zero_grad()
            critic(fake).mean().backward()
            g_opt.step()

    assert facts(run, "loop")[-1]["grads_at_backward"] == "none"
    assert facts(run, "accumulation") == []


def test_a_closure_does_not_accumulate():
    def body(model, optimizer, x, y):
        def closure():
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)

    run = loop_of(body, kind=torch.optim.LBFGS, max_iter=3)

    assert facts(run, "accumulation") == []
    assert run._session.step == 4


@pytest.mark.parametrize(
    ("clears", "parts", "state"),
    [("each", 1, "none"), ("each", 2, "none"), ("zeros", 1, "zero"), ("never", 1, "kept"), ("outside", 1, "kept")],
)
def test_gradients_that_a_closure_keeps_from_one_evaluation_to_the_next_are_told(clears, parts, state):
    def body(model, optimizer, x, y):
        def closure():
            if clears in ("each", "zeros"):
                optimizer.zero_grad(set_to_none=clears == "each")
            losses = [
                functional.cross_entropy(model(a), b) for a, b in zip(x.chunk(parts), y.chunk(parts), strict=True)
            ]
            for loss in losses:  # in parts: these share their weights, and are added up on purpose
                loss.backward()
            return sum(losses)

        if clears == "outside":
            optimizer.zero_grad()
        optimizer.step(closure)

    run = loop_of(body, kind=torch.optim.LBFGS, max_iter=3)

    assert facts(run, "loop")[-1]["grads_at_backward"] == state


def test_a_closure_of_one_evaluation_keeps_what_the_step_before_has_left():
    def body(model, optimizer, x, y):
        def closure():
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)

    assert facts(loop_of(body), "loop")[-1]["grads_at_backward"] == "kept"


def test_accumulation_is_recognised_with_its_last_window():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(2):
            batches = loader(80, 8)
            for number, (x, y) in enumerate(batches, 1):
                (functional.cross_entropy(model(x), y) / 4).backward()
                if number % 4 == 0 or number == len(batches):
                    optimizer.step()
                    optimizer.zero_grad()

    assert readings(run, "backwards") == [(0, 4), (2, 2), (3, 4), (5, 2)]
    assert facts(run, "accumulation") == [{"backwards": 4, "batches": 4}]
    assert facts(run, "loop")[-1]["grads_at_backward"] == "none"


def test_a_hundred_micro_batches_are_a_step_like_any_other():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for number in range(300):
            functional.cross_entropy(model(x), y).backward()
            if number % 100 == 99:
                optimizer.step()
                optimizer.zero_grad()

    assert facts(run, "loop")[-1]["order"] == ["zero_grad", "forward", "backward", "step"]
    assert facts(run, "accumulation") == [{"backwards": 100, "batches": 0}]


def test_two_losses_of_one_batch_are_told_from_two_batches():
    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        model(x).square().mean().backward()
        optimizer.step()

    assert facts(loop_of(body), "accumulation") == [{"backwards": 2, "batches": 0}]


def test_the_norm_ahead_of_clipping_is_read():
    expected = []

    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        expected.append(sum(p.grad.double().square().sum() for p in model.parameters()).sqrt().item())
        clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()

    run = loop_of(body, n=12)

    close = [*range(10), 10]
    assert readings(run, "clip/norm") == [(n, pytest.approx(expected[n], rel=1e-5)) for n in close]
    assert facts(run, "clipping") == [
        [{"kind": "norm", "max_norm": 0.1, "varies": False, "norm_type": 2.0, "before_unscale": False}]
    ]


@pytest.mark.parametrize("foreach", [None, False])
def test_clipping_by_value_is_heard_of_by_its_early_name(foreach):
    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        clip_grad_value_(model.parameters(), 0.5, foreach=foreach)
        optimizer.step()

    run = loop_of(body)

    assert facts(run, "clipping") == [
        [{"kind": "value", "max_norm": 0.5, "varies": False, "norm_type": None, "before_unscale": False}]
    ]
    assert "clip" in facts(run, "loop")[-1]["order"]


def test_a_limit_that_varies_is_one_way_of_clipping():
    limits = iter(range(1, 100))

    def body(model, optimizer, x, y):
        functional.cross_entropy(model(x), y).backward()
        clip_grad_norm_(model.parameters(), next(limits), norm_type=torch.inf)
        optimizer.step()
        optimizer.zero_grad()

    (clip,) = facts(loop_of(body, n=9), "clipping")[-1]

    assert (clip["max_norm"], clip["varies"], clip["norm_type"]) == (1.0, True, "inf")


def test_facts_of_the_loop_do_not_grow_with_the_steps():
    odd = iter(range(1000))

    def body(model, optimizer, x, y):
        if next(odd) % 2:
            optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    run = loop_of(body, n=10)

    assert len(facts(run, "loop")) <= 3
    gc.collect()


def micro_batches(reset_each, n=3):
    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        for _ in range(n):
            if reset_each:
                optimizer.zero_grad()
            (functional.cross_entropy(model(x), y) / n).backward()
        optimizer.step()

    return body


@pytest.mark.parametrize("reset_each", [True, False])
def test_gradients_that_are_cleared_between_the_backwards_of_a_step_are_told(reset_each):
    assert facts(loop_of(micro_batches(reset_each)), "loop")[-1]["wiped"] is reset_each


def test_what_a_window_that_was_cut_short_leaves_may_be_cleared():
    count = []

    def body(model, optimizer, x, y):
        count.append(1)
        if len(count) % 5 == 0:  # a new epoch begins
            optimizer.zero_grad()
        (functional.cross_entropy(model(x), y) / 2).backward()
        if len(count) % 5 in (1, 3):
            optimizer.step()
            optimizer.zero_grad()

    assert facts(loop_of(body, n=40), "loop")[-1]["wiped"] is False


def test_a_backward_for_the_gradient_of_the_input_is_not_wiped():
    def body(model, optimizer, x, y):
        x = x.clone().requires_grad_()
        functional.cross_entropy(model(x), y).backward()
        optimizer.zero_grad()
        functional.cross_entropy(model(x.detach() + 0.1 * x.grad.sign()), y).backward()
        optimizer.step()

    assert facts(loop_of(body), "loop")[-1]["wiped"] is False


def test_steps_that_a_scaler_skips_wipe_nothing():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126, growth_interval=1)

    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        scaler.scale(functional.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()

    assert facts(loop_of(body, n=12), "loop")[-1]["wiped"] is False


def test_gradients_of_one_layer_may_be_taken_out_on_purpose():
    def body(model, optimizer, x, y):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        model[0].weight.grad = None
        optimizer.step()

    assert facts(loop_of(body), "loop")[-1]["discarded"] is False


def test_a_new_optimizer_does_not_inherit_the_gradients_of_one_that_is_gone():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        functional.cross_entropy(model(x), y).backward()
        probe = run._session._training.probe(Loop)
        probe._best = {0: 2}  # the gradients of an optimizer with this number, which is gone, were there
        optimizer.step()

    assert facts(run, "loop")[-1]["grads_at_backward"] is None
