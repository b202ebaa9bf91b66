"""Whatever happens inside `preserved`, everything is bit for bit as before."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from tracker.drilling.preserved import Kept, NotRestored, changed, fingerprint, preserved


def bits(tensor: torch.Tensor) -> bytes:
    """The values, whatever they mean; by another way than the one under test."""
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    return dense.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.again = nn.Linear(4, 7, bias=False)
        self.again.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.embedding(x.long().abs() % 7).mean(1))


class Counting(nn.Module):
    """Keeps what people keep on a module: counters, caches, running lists, a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.calls = 0
        self.history: list[float] = [1.0]
        self.cache: dict[str, Any] = {"deep": {"er": [torch.zeros(2)]}}
        self.last: deque[torch.Tensor] = deque(maxlen=2)
        self.seen: set[int] = set()
        self.generator = torch.Generator().manual_seed(3)
        self.numpy = np.random.default_rng(4)
        self.python = random.Random(5)
        self.statistics = np.zeros(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x + torch.rand(x.shape, generator=self.generator) * self.python.random())
        self.calls += 1
        self.history.append(float(out.detach().sum()))
        self.cache["deep"]["er"].append(out.detach())
        self.cache["deep"]["er"][0] += 1
        self.cache["new"] = self.numpy.random()
        self.last.append(out)
        self.seen.add(self.calls)
        self.statistics += 1
        return out


class Plain:
    """An object of the user's that is no module."""

    __slots__ = ("__dict__", "count")

    def __init__(self) -> None:
        self.count = 0
        self.ema = torch.zeros(3)


class Statistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.tracker = Plain()
        self.register_buffer("wide", torch.zeros(1).expand(5))
        self.register_buffer("whole", torch.tensor(3))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("complex", torch.tensor([1j, 2]))
        self.register_buffer("none", None)
        self.register_buffer("empty", torch.empty(0, 3))
        self.register_buffer("strange", _strange(), persistent=False)
        self.register_buffer("view", self.layer.weight.detach()[1:, ::2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.tracker.count += 1
        self.tracker.ema.add_(1)
        self.tracker.ema.note = "seen"  # type: ignore[attr-defined]
        self.tracker.extra = 1  # type: ignore[attr-defined]
        self.wide[:1] += 1
        self.whole += 1
        self.flags.logical_not_()
        self.complex *= 1j
        self.strange.zero_()
        self.none = torch.ones(2)
        return self.layer(x)


def _strange() -> torch.Tensor:
    words = [0x7FC00001, 0xFFC12345, 0x80000000, 0x7F800000, 0x00000001]  # not a number, twice; -0; inf; denormal
    return torch.frombuffer(bytearray(struct.pack("<5I", *words)), dtype=torch.float32)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x[:, None])[0][:, -1])


def spectral() -> nn.Module:
    return nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(4, 5)), parametrizations.weight_norm(nn.Linear(5, 3)), nn.Dropout()
    )


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3))


def frozen() -> nn.Module:
    model = normed()
    model[0].requires_grad_(False)
    model[1].eval()
    return model


def scripted() -> nn.Module:
    return torch.jit.script(normed())


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.Linear(5, 3))


def sparse() -> nn.Module:
    return nn.Sequential(Embedded(), nn.Linear(4, 3))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4, sparse=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table(x.long().abs() % 9).mean(1)


KINDS: tuple[Callable[[], nn.Module], ...] = (
    normed, frozen, Tied, Counting, Statistics, Recurrent, spectral, sparse, lazy,
)  # fmt: skip
INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    if any(isinstance(one, nn.Embedding) and one.sparse for one in model.modules()):
        return torch.optim.SGD(model.parameters(), 0.1)
    return torch.optim.AdamW(model.parameters(), torch.tensor(0.1))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 1) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(INPUTS).square().mean().backward()
        optimizer.step()


def wreck(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Changes everything that can be changed."""
    train(model, optimizer, 2)
    optimizer.param_groups[0]["lr"] = 9.0
    optimizer.param_groups[0]["new"] = 1
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    optimizer.register_step_pre_hook(lambda *_: None)
    optimizer.state[next(model.parameters())]["momentum_buffer"] = torch.ones(1)
    model.train(not model.training)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient: gradient * 2)
        parameter.requires_grad_(not parameter.requires_grad)
    model.double()
    model.register_forward_hook(lambda *_: None)
    model.register_buffer("added", torch.ones(1))
    model.new = [1]  # type: ignore[assignment]
    del model._modules[next(iter(model._modules))]
    random.random(), np.random.rand(), torch.rand(1)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.set_grad_enabled(False)
    torch.autograd.set_detect_anomaly(True, check_nan=False)
    torch.set_autocast_enabled("cpu", True)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_device("meta")
    nn.modules.module.register_module_forward_hook(lambda *_: None)


def wrecked(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    with preserved([model], [optimizer]):
        wreck(model, optimizer)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("steps", [0, 2])
def test_everything_that_a_drill_may_change_is_put_back(kind: Callable[[], nn.Module], steps: int) -> None:
    torch.manual_seed(1)
    model = kind()
    optimizer = optimizer_of(model)
    train(model, optimizer, steps)
    is_lazy = kind is lazy and not steps
    tensors = [] if is_lazy else [*model.state_dict().values()]
    gradients = [parameter.grad for parameter in model.parameters()]
    values = [bits(one) for one in [*tensors, *(one for one in gradients if one is not None)]]
    state = {key: dict(one) for key, one in optimizer.state.items()}
    draws = random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())
    before = fingerprint([model], [optimizer])
    threads = torch.get_num_threads()

    def drill() -> None:
        with preserved([model], [optimizer]):
            wreck(model, optimizer)
            assert changed(before, fingerprint([model], [optimizer]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drill()

    assert changed(before, fingerprint([model], [optimizer])) == []
    now = [] if is_lazy else [*model.state_dict().values()]
    assert [bits(one) for one in [*now, *(p.grad for p in model.parameters() if p.grad is not None)]] == values
    assert all(parameter.grad is one for parameter, one in zip(model.parameters(), gradients, strict=True))
    assert list(optimizer.state) == list(state)
    assert all(optimizer.state[key][name] is one for key, kept in state.items() for name, one in kept.items())
    assert len(optimizer.param_groups) == 1
    assert optimizer.state.default_factory is dict  # type: ignore[attr-defined]
    assert (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())) == draws
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert (torch.empty(0).device.type, torch.get_num_threads()) == ("cpu", threads)
    off = torch.is_anomaly_enabled(), torch.are_deterministic_algorithms_enabled(), torch.is_autocast_enabled("cpu")
    assert not any(off)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_training_goes_on_as_if_there_had_been_no_drill(kind: Callable[[], nn.Module]) -> None:
    def weights(with_drill: bool) -> list[bytes]:
        torch.manual_seed(1)
        model = kind()
        optimizer = optimizer_of(model)
        train(model, optimizer, 1)
        if with_drill:
            with preserved([model], [optimizer]):
                wreck(model, optimizer)
        train(model, optimizer, 2)
        return [bits(one) for one in model.state_dict().values()]

    assert weights(True) == weights(False)


def test_a_module_of_torchscript_is_put_back() -> None:
    with pytest.warns(DeprecationWarning, match="script"):
        model = scripted()
    optimizer = optimizer_of(model)
    train(model, optimizer)
    before, values = fingerprint([model], [optimizer]), [bits(one) for one in model.state_dict().values()]
    with preserved([model], [optimizer]):
        train(model, optimizer, 2)
        model.eval()

    assert changed(before, fingerprint([model], [optimizer])) == []
    assert model.training
    assert [bits(one) for one in model.state_dict().values()] == values


def test_a_graph_from_before_can_still_go_backward() -> None:
    model = normed()
    optimizer = optimizer_of(model)
    loss = model(INPUTS).square().mean()
    versions = [one._version for one in model.parameters()]
    with preserved([model], [optimizer]):
        train(model, optimizer, 3)
    loss.backward()

    assert [one._version for one in model.parameters()] == versions
    assert all(one.grad is not None for one in model.parameters())


def test_what_others_hold_stays_connected() -> None:
    model = normed()
    handle = model.register_forward_hook(lambda *_: None)
    parameters, hooks = model[0]._parameters, model._forward_hooks
    with preserved([model]):
        model.register_forward_hook(lambda *_: None)
        model[0].bias = None
        del model[0].weight
    handle.remove()

    assert model[0]._parameters is parameters
    assert model._forward_hooks is hooks
    assert not hooks
    assert list(parameters) == ["weight", "bias"]


def test_memory_that_is_shared_stays_shared() -> None:
    model = Tied()
    other = model.embedding.weight.detach()[2]
    pointer = model.embedding.weight.data_ptr()
    with preserved([model]):
        model.embedding.weight.data = torch.ones(7, 4)
        model.again.weight = nn.Parameter(torch.ones(7, 4))

    assert model.again.weight is model.embedding.weight
    assert model.embedding.weight.data_ptr() == pointer
    assert other.data_ptr() == model.embedding.weight[2].data_ptr()


def test_what_the_users_own_hook_has_collected_is_put_back() -> None:
    model, seen, count = normed(), [], 0

    def hook(*_: object) -> None:
        nonlocal count
        count += 1
        seen.append(count)

    model.register_forward_hook(hook)
    model(INPUTS)
    with preserved([model]):
        model(INPUTS)

    assert (seen, count) == ([1], 1)


def test_a_loaders_generator_is_put_back_and_its_data_is_not_copied() -> None:
    data = torch.utils.data.TensorDataset(torch.zeros(1 << 19))
    loader = torch.utils.data.DataLoader(data, 1 << 17, shuffle=True, generator=torch.Generator().manual_seed(1))
    state = loader.generator.get_state()
    kept = Kept([], [], [{"train": loader}])
    list(loader.sampler)
    kept.restore()

    assert torch.equal(loader.generator.get_state(), state)
    assert kept.nbytes < 1 << 20


def test_memory_that_nothing_was_written_to_is_not_written_to(tmp_path: Path) -> None:
    array = np.ones(16, dtype=np.float32)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        weight = torch.from_numpy(array)
    model = nn.Linear(1, 1)
    model.register_buffer("file", weight)
    with preserved([model]):
        model(torch.ones(1))

    assert bits(model.file) == array.tobytes()  # on a page that is truly closed the process would have died


def interrupted_at(call: int) -> Callable[..., None]:
    seen = [0]

    def hook(*_: object) -> None:
        seen[0] += 1
        if seen[0] == call:
            raise KeyboardInterrupt

    return hook


def test_an_interruption_inside_a_forward_pass_passes_through() -> None:
    model = normed()
    optimizer = optimizer_of(model)
    before = fingerprint([model], [optimizer])

    def drill() -> None:
        with preserved([model], [optimizer]):
            model[3].register_forward_hook(interrupted_at(2))
            train(model, optimizer, 3)

    with pytest.raises(KeyboardInterrupt):
        drill()

    assert changed(before, fingerprint([model], [optimizer])) == []


def test_an_interruption_while_things_are_put_back_waits_until_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.drilling.preserving.containers import DictPart
    from tracker.drilling.preserving.tensors import Memory

    model = normed()
    optimizer = optimizer_of(model)
    train(model, optimizer)
    before = fingerprint([model], [optimizer])
    for kind in (DictPart, Memory):
        restore = kind.restore

        def pressing(self: Any, restore: Callable[[Any], None] = restore) -> None:
            signal.raise_signal(signal.SIGINT)
            restore(self)

        handler = signal.getsignal(signal.SIGINT)
        with monkeypatch.context() as patch:
            patch.setattr(kind, "restore", pressing)
            with pytest.raises(KeyboardInterrupt):
                wrecked(model, optimizer)

        assert changed(before, fingerprint([model], [optimizer])) == []
        assert signal.getsignal(signal.SIGINT) is handler


def test_an_interruption_that_is_no_signal_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.drilling.preserving.tensors import Memory

    model = normed()
    before = fingerprint([model])
    restore, calls = Memory.restore, []

    def interrupted(self: Memory) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        restore(self)

    with monkeypatch.context() as patch:
        patch.setattr(Memory, "restore", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wrecked(model, optimizer_of(model))

    assert changed(before, fingerprint([model])) == []


def test_what_cannot_be_put_back_is_said_and_the_rest_is_put_back() -> None:
    model = normed()
    before = fingerprint([model])
    model.array = np.zeros(3)

    def drill() -> None:
        with preserved([model]):
            model.array.flags.writeable = False
            nn.init.zeros_(model[0].weight)

    with pytest.raises(NotRestored, match=r"could not put back model\.array \(ValueError"):
        drill()
    del model.array

    assert changed(before, fingerprint([model])) == []


def test_it_works_beside_the_main_thread() -> None:
    model = normed()
    before = fingerprint([model])

    def run() -> None:
        with preserved([model]):
            nn.init.zeros_(model[0].weight)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert changed(before, fingerprint([model])) == []


def test_a_generator_that_is_closed_puts_everything_back() -> None:
    model = normed()
    before = fingerprint([model])

    def drill() -> Any:
        with preserved([model]):
            nn.init.zeros_(model[0].weight)
            yield

    steps = drill()
    next(steps)
    assert changed(before, fingerprint([model])) == ["model.0.weight version", "model.0.weight values"]
    steps.close()

    assert changed(before, fingerprint([model])) == []


CTRL_C = """
import sys, time, torch
from tracker.drilling.preserved import changed, fingerprint, preserved

model = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4)))
optimizer = torch.optim.Adam(model.parameters())
before = fingerprint([model], [optimizer])
print("ready", flush=True)
rounds = 0
try:
    while True:
        rounds += 1
        with preserved([model], [optimizer]):
            with preserved([model], [optimizer]):
                model(torch.randn(8, 64)).sum().backward()
                optimizer.step()
except KeyboardInterrupt:
    print(changed(before, fingerprint([model], [optimizer])))
"""


@pytest.mark.slow
def test_ctrl_c_at_any_moment_leaves_everything_as_it_was(root: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CTRL_C],
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for _ in range(2)
    ]
    said = []
    for index, child in enumerate(children):
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        threading.Event().wait(0.01 + 0.007 * index)  # some moment; every moment has to do
        child.send_signal(signal.SIGINT)
        said.append(child.communicate(timeout=60)[0])

    assert said == ["[]\n", "[]\n"]
