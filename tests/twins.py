"""Small trainings of every kind, run observed and bare: `python -m tests.twins observed|bare [NAME...]`.

Prints one JSON line for each training: digests of losses, weights and random states, and what it said. Each begins with
its own seeds, so that the two processes can be compared line by line.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import random
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

TRAININGS: dict[str, Callable[[], Any]] = {}


def training(function: Callable[[], Any]) -> Callable[[], Any]:
    TRAININGS[function.__name__] = function
    return function


def net(n_out: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, n_out))


def batch(n: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 6), torch.randint(0, 3, (n,))


def plain(make: Callable[[Any], torch.optim.Optimizer], steps: int = 14) -> Any:
    model = net()
    optimizer, losses = make(model.parameters()), []
    for _ in range(steps):
        x, y = batch()
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, optimizer, losses


@training
def sgd() -> Any:
    return plain(lambda p: torch.optim.SGD(p, 0.1, momentum=0.9))


@training
def adam_fused() -> Any:
    return plain(lambda p: torch.optim.Adam(p, 0.01, fused=True))


@training
def adamw_foreach() -> Any:
    return plain(lambda p: torch.optim.AdamW(p, 0.01, foreach=True, amsgrad=True))


@training
def adagrad_with_a_tensor_rate() -> Any:
    return plain(lambda p: torch.optim.Adam(p, torch.tensor(0.01), capturable=False, foreach=False))


@training
def lbfgs() -> Any:
    model, (x, y) = nn.Linear(6, 3), batch()
    optimizer, losses = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", max_iter=5), []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return model, optimizer, losses


@training
def gan() -> Any:
    generator, critic = nn.Linear(4, 6), net(1)
    g_opt, d_opt = torch.optim.Adam(generator.parameters(), 0.01), torch.optim.RMSprop(critic.parameters(), 0.01)
    losses = []
    for _ in range(12):
        fake = generator(torch.randn(8, 4))
        d_opt.zero_grad()
        loss = critic(torch.randn(8, 6)).mean() - critic(fake.detach()).mean()
        loss.backward()
        d_opt.step()
        g_opt.zero_grad()
        critic(fake).mean().backward()
        g_opt.step()
        losses.append(loss.item())
    return generator, critic, losses


@training
def accumulation_and_clipping() -> Any:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12)
    norms = []
    for _ in range(12):
        for _ in range(3):
            x, y = batch(8)
            (functional.cross_entropy(model(x), y, label_smoothing=0.1) / 3).backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.5).item())
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model, norms, schedule.state_dict()


@training
def mixed_precision() -> Any:
    model, scaler = net(), torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=2)
    optimizer, losses = torch.optim.SGD(model.parameters(), 0.1), []
    for _ in range(14):
        x, y = batch()
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append((loss.item(), scaler.get_scale()))
    return model, losses


@training
def loaders_with_workers() -> Any:
    data = TensorDataset(torch.randn(40, 6), torch.randint(0, 3, (40,)))
    train = DataLoader(data, 8, shuffle=True, num_workers=2, worker_init_fn=None)
    weighted = DataLoader(data, 8, sampler=WeightedRandomSampler(torch.rand(40), 40))
    own = DataLoader(data, 8, sampler=RandomSampler(data, generator=torch.Generator().manual_seed(3)))
    model = net()
    optimizer, order = torch.optim.SGD(model.parameters(), 0.1), []
    for loader in (train, train, weighted, own):
        for x, y in loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            order.append(x.sum().item())
        with torch.no_grad():
            order.append(sum(model(x).sum().item() for x, _ in DataLoader(data, 20)))
    return model, order


@training
def copied_and_saved() -> Any:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    sizes = []
    for _ in range(4):
        x, y = batch()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        twin, buffer = copy.deepcopy(model), io.BytesIO()
        torch.save(model, buffer)
        torch.save(copy.deepcopy(optimizer).state_dict(), io.BytesIO())
        sizes.append((len(buffer.getvalue()), len(pickle.dumps(model)), len(pickle.dumps(optimizer))))
        again = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
        sizes.append(bool(all(torch.equal(a, b) for a, b in zip(again.parameters(), twin.parameters(), strict=True))))
        for module in (model, twin, again):
            sizes.append([len(m._forward_hooks) + len(m._backward_hooks) for m in module.modules()])
    return model, sizes


@training
def compiled() -> Any:
    torch.compiler.reset()
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    fast, graphs = torch.compile(model, backend="eager"), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    @torch.compile(backend="eager")
    def whole(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for number in range(6):
        x, y = batch()
        if number < 3:
            loss = functional.cross_entropy(fast(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        else:
            loss = whole(x, y)
        graphs.append(loss.item())
    stats = torch._dynamo.utils.counters["stats"]
    return model, graphs, int(stats["unique_graphs"])


@training
def checkpointed() -> Any:
    model = net()
    optimizer, losses = torch.optim.SGD(model.parameters(), 0.1), []
    for number in range(6):
        x, y = batch()

        def forward(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            return functional.cross_entropy(model(x), y)

        loss = checkpoint(forward, use_reentrant=number % 2 == 0) if number > 2 else checkpoint(
            lambda a: forward(a), x.requires_grad_(), use_reentrant=False
        )  # fmt: skip
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    return model, losses


@training
def functional_transforms() -> Any:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss_of(parameters: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(torch.func.functional_call(model, parameters, (x[None],)), y[None])

    found = []
    for _ in range(4):
        x, y = batch(8)
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        each = torch.func.vmap(torch.func.grad(loss_of), (None, 0, 0))(parameters, x, y)
        for name, parameter in model.named_parameters():
            parameter.grad = each[name].mean(0)
        optimizer.step()
        found.append(torch.func.jacrev(lambda a: model(a).sum())(x).sum().item())
        found.append(torch.jit.trace(model, x)(x).sum().item())
    return model, found


@training
def hooks_on_saved_tensors() -> Any:
    model, calls = net(), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        calls.append("pack")
        return tensor

    def unpack(tensor: torch.Tensor) -> torch.Tensor:
        calls.append("unpack")
        return tensor

    for _ in range(4):
        x, y = batch()
        optimizer.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    with torch.autograd.graph.save_on_cpu():
        functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    return model, calls


class SignDescent(torch.optim.Optimizer):
    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> str:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter -= group["lr"] * parameter.grad.sign()
        return "stepped"


@training
def own_optimizer() -> Any:
    model = net()
    optimizer = SignDescent(model.parameters(), 0.01)
    said = []
    for _ in range(5):
        x, y = batch()
        optimizer.zero_grad()
        functional.mse_loss(model(x), torch.nn.functional.one_hot(y, 3).float()).backward()
        said.append(optimizer.step())
    return model, said


@training
def sparse_embedding() -> Any:
    table = nn.Embedding(20, 4, sparse=True)
    optimizer = torch.optim.SparseAdam(list(table.parameters()), 0.1)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = table(torch.randint(0, 20, (12,))).pow(2).sum()
        loss.backward()
        coalesced = table.weight.grad.is_coalesced() if table.weight.grad is not None else None
        optimizer.step()
        losses.append(
            (loss.item(), coalesced, table.weight.grad.is_coalesced() if table.weight.grad is not None else 0)
        )
    return table, losses


@training
def double_backward_and_locals() -> Any:
    seen = locals()
    model, (x, y) = nn.Linear(6, 3), batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        loss = functional.cross_entropy(model(x), y)
        (grad,) = torch.autograd.grad(loss, model.weight, create_graph=True)
        optimizer.zero_grad()
        torch.autograd.backward([loss + grad.pow(2).sum()])
        optimizer.step()
    return model, sorted(seen)


@training
def random_numbers_of_all_kinds() -> Any:
    drawn = [random.random(), np.random.rand(), torch.rand(()).item()]
    model, _, losses = plain(lambda p: torch.optim.SGD(p, 0.1 + random.random() / 10), steps=3)
    drawn += [random.gauss(0, 1), np.random.randn(), torch.randn(()).item()]
    return model, losses, drawn


def digest(value: Any) -> str:
    """Digest of everything in a value, bit by bit."""
    hasher = hashlib.sha256()

    def add(item: Any) -> None:
        if isinstance(item, (nn.Module, torch.optim.Optimizer)):
            add(item.state_dict())
        elif isinstance(item, torch.Tensor):
            hasher.update(item.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(item, dict):
            for key, inner in item.items():
                hasher.update(str(key).encode())
                add(inner)
        elif isinstance(item, (list, tuple)):
            hasher.update(b"[")
            for inner in item:
                add(inner)
        elif isinstance(item, float):
            hasher.update(item.hex().encode())
        else:
            hasher.update(repr(item).encode())

    add(value)
    return hasher.hexdigest()[:16]


def random_states() -> str:
    return digest([random.getstate(), [str(part) for part in np.random.get_state()], torch.get_rng_state()])


def main(how: str, names: list[str]) -> None:
    from tests.trainings import tracked

    torch.set_num_threads(1)
    for name in names or list(TRAININGS):
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        with warnings.catch_warnings(record=True) as caught, tracked() if how == "observed" else nullcontext() as run:
            warnings.simplefilter("always")
            found = TRAININGS[name]()
            print("trained", name)
        line = {
            "name": name,
            "result": digest(found),
            "random": random_states(),
            "said": [str(w.message) for w in caught],
        }
        print(json.dumps(line))
        if run is not None:
            seen = {"steps": run._session.step, "off": run._session.guard.off}
            print(json.dumps({"name": name, **seen}), file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
