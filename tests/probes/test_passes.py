"""Forward passes are heard in windows only: on closely watched steps and in evaluation; nothing is left on torch."""

import gc
import threading
import traceback
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules import module as torch_modules
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.trainings import data, facts, fault_parts, mlp, readings, step, tracked
from tracker.probes import passes
from tracker.probes import training as trainings
from tracker.probes.activations import Activations
from tracker.probes.budget import FREE_PASSES
from tracker.probes.passes import Passes
from tracker.probes.probe import Probe

QUIET = 12
"""A step that is not looked at closely: the first ten are, then every tenth."""


class Heard(Probe):
    """Keeps the class of each root, and whether it had gradients."""

    name = "heard"

    def __init__(self, training):
        super().__init__(training)
        self.passes = []

    def root_forward(self, call):
        self.passes.append((type(call.module).__name__, call.has_grad, call.in_training_mode))


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    monkeypatch.setattr(trainings, "PROBES", (*trainings.PROBES, Heard))


def passes_of(run):
    return run._session.training.probe(Heard).passes


def hooks_in_place():
    return (
        len(torch_modules._global_forward_pre_hooks)
        + len(torch_modules._global_forward_hooks)
        + len(torch_modules._global_forward_hooks_always_called)
        + len(torch_modules._global_forward_hooks_with_kwargs)
    )


class Trained:
    """A model that was trained for some steps, in a run that goes on."""

    def __init__(self, run, steps=QUIET, model=None):
        self.run = run
        self.model = model if model is not None else mlp()
        self.x, self.y = data()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.train(steps)

    def train(self, steps):
        for _ in range(steps):
            step(self.model, self.optimizer, self.x, self.y)
        passes_of(self.run).clear()


def test_hooks_are_there_on_closely_watched_steps_only():
    seen = []
    with tracked() as run:
        trained = Trained(run, 0)
        for _ in range(22):
            loss = functional.cross_entropy(trained.model(trained.x), trained.y)
            seen.append(hooks_in_place())
            loss.backward()
            trained.optimizer.step()

    assert seen == [4] * 11 + [0] * 9 + [4, 0]
    assert hooks_in_place() == 0


def test_a_pass_is_told_once_with_its_modes_on_closely_watched_steps():
    with tracked() as run:
        trained = Trained(run, 0)
        for _ in range(13):
            step(trained.model, trained.optimizer, trained.x, trained.y)

        assert passes_of(run) == [("Sequential", True, True)] * 11


@torch.no_grad()
def decorated(model, x):
    return model(x)


def under_no_grad(model, x):
    with torch.no_grad():
        return model(x)


def in_inference_mode(model, x):
    with torch.inference_mode():
        return model(x)


def in_evaluation_mode(model, x):
    model.eval()
    out = model(x)
    model.train()
    return out


@pytest.mark.parametrize("evaluate", [decorated, under_no_grad, in_inference_mode, in_evaluation_mode])
def test_an_evaluation_is_heard_on_any_step_and_the_window_closes_with_the_next_training_pass(evaluate):
    with tracked() as run:
        trained = Trained(run)
        before = hooks_in_place()
        evaluate(trained.model, trained.x)
        found = list(passes_of(run))
        trained.model(trained.x)
        after = hooks_in_place()
        evaluate(trained.model, trained.x)

        assert found == [("Sequential", evaluate is in_evaluation_mode, evaluate is not in_evaluation_mode)]
        assert len(passes_of(run)) == 2
        assert (before, after) == (0, 0)


def test_training_in_evaluation_mode_does_not_keep_the_window_open():
    with tracked() as run:
        trained = Trained(run)
        trained.model.eval()
        trained.train(1)
        trained.model(trained.x)

        assert hooks_in_place() == 0


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.seen = []

    def forward(self, x):
        with torch.no_grad():
            self.seen.append(hooks_in_place())
            h = self.frozen(x)
        return self.head(h)


def test_a_part_without_gradients_inside_a_pass_is_no_evaluation():
    with tracked() as run:
        trained = Trained(run, model=Backbone())
        step(trained.model, trained.optimizer, trained.x, trained.y)

        assert passes_of(run) == []
        assert trained.model.seen[-1] == hooks_in_place() == 0


def test_torch_switching_gradients_off_for_itself_opens_no_window():
    with tracked() as run:
        trained = Trained(run)
        functional.cross_entropy(trained.model(trained.x), trained.y).backward()
        nn.utils.clip_grad_norm_(trained.model.parameters(), 1.0)
        nn.init.zeros_(torch.empty(3))
        trained.optimizer.step()

        assert hooks_in_place() == 0


def test_parts_of_a_model_whose_forward_is_called_directly_are_no_models():
    with tracked() as run:
        trained = Trained(run, 0, Backbone())
        for _ in range(2):
            functional.cross_entropy(trained.model.forward(trained.x), trained.y).backward()
            trained.optimizer.step()

        assert passes_of(run) == []
        assert facts(run, "unseen")[-1]["passes"] == passes.CALLED_FORWARD
        assert len(readings(run, "output/rms", "head")) == 2


def test_scripted_and_traced_models_are_heard_as_a_whole():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that both are deprecated
        models = [torch.jit.script(mlp()), torch.jit.trace(mlp(), data()[0])]
    for model in models:
        with tracked() as run:
            trained = Trained(run, 0, model)
            for _ in range(3):
                step(trained.model, trained.optimizer, trained.x, trained.y)

            assert [p[1:] for p in passes_of(run)] == [(True, True)] * 3
            assert "scripted or traced" in facts(run, "unseen")[-1]["activations"]
            assert fault_parts(run) == []


def test_a_loss_module_is_no_model():
    criterion = nn.CrossEntropyLoss()
    with tracked() as run:
        trained = Trained(run, 0)
        criterion(trained.model(trained.x), trained.y).backward()

        assert passes_of(run) == [("Sequential", True, True)]


def test_passes_of_tracers_and_transforms_and_recomputation_are_passed_over():
    with tracked() as run:
        trained = Trained(run, 1)
        model, x = trained.model, trained.x
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing is deprecated
            torch.jit.trace(model, x)
        torch.fx.symbolic_trace(model)
        torch.export.export(model, (x,))
        torch.func.vmap(model)(x)
        parameters = dict(model.named_parameters())
        torch.func.grad(lambda p: torch.func.functional_call(model, p, (x,)).sum())(parameters)
        with FlopCounterMode(display=False):
            model(x)
        checkpoint(model, x.clone().requires_grad_(), use_reentrant=True).sum().backward()

        assert [p for p in passes_of(run) if not p[1]] == []
        assert passes_of(run) == []


def test_a_checkpointed_part_is_measured_once():
    calls = []

    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            calls.append(1)
            return self.head(checkpoint(self.inner, x, use_reentrant=False))

    with tracked() as run:
        trained = Trained(run, 0, Part())
        step(trained.model, trained.optimizer, trained.x, trained.y)

        assert passes_of(run) == [("Part", True, True)]
        assert readings(run, "output/rms", "inner#2") == []


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp(4, 3)

    def forward(self, x):
        return self.inner(x)


def test_an_error_in_a_pass_prints_as_without_us_and_the_next_pass_is_heard():
    def printed(model, x):
        try:
            model(x)
        except RuntimeError:
            return traceback.format_exc()

    model, x = Fails(), torch.ones(2, 6)
    bare = printed(model, x)
    with tracked() as run:
        observed = printed(model, x)
        model(x[:, :4])

        assert "mat1 and mat2" in bare
        assert observed == bare
        assert passes_of(run) == [("Fails", True, True)]


def test_an_error_behind_a_hook_of_the_user_keeps_its_frames():
    def printed(model, x):
        try:
            model(x)
        except RuntimeError:
            return traceback.format_exc()

    model, x = Fails(), torch.ones(2, 6)
    model.inner.register_forward_hook(lambda *a: None)
    bare = printed(model, x)
    with tracked():
        observed = printed(model, x)

    assert "in inner" in bare
    assert observed == bare


def test_a_warning_of_a_module_is_shown_as_often_as_without_us():
    def shown(seed):
        model = nn.Sequential(mlp(seed=seed), nn.Softmax(dim=None))  # which torch warns of
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(15):
                step(model, torch.optim.SGD(model.parameters(), 0.1), *data())
        return [str(warning.message)[:18] for warning in caught]

    bare = shown(0)
    with tracked():
        observed = shown(1)

    assert observed == bare == ["Implicit dimension"]


@pytest.fixture
def compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("compiler")
def test_hooks_go_when_something_is_compiled_and_never_come_back():
    with tracked() as run, warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = Trained(run, 2)
        fast = torch.compile(trained.model, backend="eager")
        gone = hooks_in_place()
        for _ in range(3):
            step(fast, trained.optimizer, trained.x, trained.y)
        under_no_grad(fast, trained.x)

        assert gone == hooks_in_place() == 0
        assert passes_of(run) == []
        assert facts(run, "unseen")[-1]["modules"] == passes.COMPILED
        assert len(readings(run, "output/rms", "0")) == 2


@pytest.mark.usefixtures("compiler")
def test_a_model_that_was_compiled_before_the_run_is_known():
    fast = torch.compile(mlp(), backend="eager")
    with tracked() as run, warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(data()[0])

        assert hooks_in_place() == 0
        assert facts(run, "unseen")[-1]["modules"] == passes.COMPILED


def test_an_evaluation_that_costs_too_much_is_cut_and_the_next_one_is_heard_again():
    with tracked() as run:
        trained = Trained(run)
        governor = run._session.training.governor
        governor.spent += 1e6
        for _ in range(FREE_PASSES + 5):
            under_no_grad(trained.model, trained.x)
        first = len(passes_of(run))
        during = hooks_in_place()
        trained.train(1)
        under_no_grad(trained.model, trained.x)

        assert (first, during) == (FREE_PASSES, 0)
        assert len(passes_of(run)) == 1


def test_an_evaluation_within_the_budget_is_heard_whole():
    with tracked() as run:
        trained = Trained(run)
        for _ in range(FREE_PASSES + 5):
            under_no_grad(trained.model, trained.x)

        assert len(passes_of(run)) == FREE_PASSES + 5


def test_a_teacher_at_every_step_is_heard_while_there_is_room_only():
    student, teacher = mlp(), mlp(seed=1)
    heard = []
    with tracked() as run:
        trained = Trained(run, QUIET, student)
        run._session.training.governor.spent += 1e6
        for _ in range(60):
            under_no_grad(teacher, trained.x)
            heard.append(len(passes_of(run)))
            trained.train(1)

    assert heard[:16] == [1] * 16
    assert sum(heard[16:]) == 0


def test_a_line_that_switches_gradients_off_in_vain_opens_no_window_in_the_end():
    opened = []
    with tracked() as run:
        trained = Trained(run)
        for _ in range(60):
            with torch.no_grad():
                opened.append(hooks_in_place() > 0)
            trained.train(1)
        under_no_grad(trained.model, trained.x)

        quiet = [is_open for number, is_open in enumerate(opened, QUIET) if number % 10]
        assert quiet == [True] * passes.FRUITLESS + [False] * (len(quiet) - passes.FRUITLESS)
        assert passes_of(run) == [("Sequential", False, True)]


def test_threads_do_not_disturb_each_other():
    errors = []

    def work(model, x):
        try:
            for _ in range(50):
                model(x)
        except Exception as error:
            errors.append(error)

    with tracked() as run:
        models = [mlp(seed=n) for n in range(3)]
        threads = [threading.Thread(target=work, args=(model, data()[0])) for model in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert errors == []
        assert passes_of(run) == [("Sequential", True, True)] * 150


def test_a_fault_in_the_hooks_takes_them_away_and_leaves_the_training_alone(monkeypatch):
    monkeypatch.delenv("TRACKER_STRICT", raising=False)
    monkeypatch.setattr(Activations, "_called", lambda *a: 1 / 0)
    with tracked() as run:
        trained = Trained(run, 3)

    assert trained.model(trained.x).shape == (24, 3)
    assert fault_parts(run) == ["activations"]
    assert hooks_in_place() == 0


def test_hooks_of_the_user_keep_the_numbers_they_would_have():
    def number():
        handle = mlp().register_forward_hook(lambda *a: None)
        handle.remove()
        return handle.id

    with tracked() as run:
        first = number()
        Trained(run, QUIET)
        last = number()

    assert last == first + 1


def test_nothing_of_a_pass_is_kept_alive():
    gc.collect()
    gc.disable()
    try:
        with tracked() as run:
            model, (x, y) = mlp(), data()
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            outputs = model(x)
            kept = [weakref.ref(outputs)]
            functional.cross_entropy(outputs, y).backward()
            del outputs
            alone = nn.Linear(6, 3)
            kept += [weakref.ref(alone), weakref.ref(alone.weight)]
            under_no_grad(alone, x)
            del alone

            assert [ref() for ref in kept] == [None] * 3
            assert len(run._session.training.probe(Passes).models) == 1
            del optimizer
    finally:
        gc.enable()
