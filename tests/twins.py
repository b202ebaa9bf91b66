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
import traceback
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
from torch.utils.flop_counter import FlopCounterMode

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


class Mixed(nn.Module):
    """Calls parts by every means, some of them without gradients, and raises when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 8)
        self.teacher = nn.Linear(8, 8)
        self.attend = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.recur = nn.LSTM(8, 8, batch_first=True)
        self.act = nn.ReLU(inplace=True)
        self.hidden = [nn.Linear(8, 8)]
        self.head = nn.Linear(8, 3)
        self.fails = False

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> dict[str, Any]:
        h = self.embed(x)
        with torch.no_grad():
            taught = self.teacher(h)
        h = self.act(self.attend(h, h, h)[0])
        h, state = self.recur(functional.relu(self.hidden[0](h), inplace=True))
        if self.fails:
            self.head(h[..., :5])
        return {"logits": scale * self.head(h.mean(1)), "state": state, "taught": [taught]}


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = x * 2
        return self.inner(y + x)


@training
def passes_of_every_kind() -> Any:
    model, said = Mixed(), []
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    handle = model.head.register_forward_hook(lambda m, a, out: said.append(tuple(out.shape)))
    x, y = torch.randint(0, 12, (6, 5)), torch.randint(0, 3, (6,))
    for number in range(14):
        model.train()
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x, scale=0.5)["logits"], y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            said.append(model(x)["logits"].sum().item())
        model.eval()
        with torch.inference_mode():
            said.append(model(x)["logits"].sum().item())
        said.append([(k, len(m._forward_hooks), len(m.__dict__)) for k, m in model.named_modules()])
        said.append(len(pickle.dumps(model.recur)))
        model.fails = True
        try:
            model(x)
        except RuntimeError:
            said.append(traceback.format_exc().split("twins.py", 1)[1])
        model.fails = False
        if number in (3, 12):
            scripted = torch.jit.script(Scripted())
            said.append(str(scripted.graph))
            traced = torch.jit.trace(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), torch.ones(2, 8))
            said.append([str(traced.graph), str(torch.fx.symbolic_trace(net()).graph)])
            exported = torch.export.export(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), (torch.ones(2, 8),))
            said.append(str(exported.graph))
            with FlopCounterMode(display=False) as counter:
                model(x)
            said.append(counter.get_total_flops())
            with torch.profiler.profile() as profile:
                model.head(torch.ones(2, 8))
            said.append(sorted(event.key for event in profile.key_averages()))
    handle.remove()
    torch.compiler.reset()
    fast = torch.compile(model.head, backend="eager")
    said.append([fast(torch.ones(2, 8)).sum().item() for _ in range(2)])
    torch.compiler.reset()
    return model, said


@training
def losses_of_many_terms() -> Any:
    model = net()
    optimizer, found = torch.optim.SGD(model.parameters(), 0.05), []
    log_scale = torch.zeros((), requires_grad=True)
    scale_optimizer = torch.optim.Adam([log_scale], 0.01)
    for number in range(12):
        x, y = batch()
        out = model(x)
        ce = -out.log_softmax(1)[torch.arange(16), y].mean()
        terms = {"spread": out.var(), "soft": functional.cross_entropy(out, out.detach().softmax(1))}
        penalty = sum(p.pow(2).sum() for p in model.parameters())
        loss = torch.exp(-log_scale) * ce + log_scale + 0.1 * sum(terms.values()) - 1e-3 * penalty
        loss = loss + functional.mse_loss(out[:, 0], torch.zeros(16, 1)) / 7
        loss = (
            loss + torch.stack([functional.l1_loss(out, out.detach() + 1), functional.huber_loss(out, out * 2)]).mean()
        )
        optimizer.zero_grad()
        scale_optimizer.zero_grad()
        loss.backward(retain_graph=number % 2 == 0)
        if number % 2 == 0:
            (out.pow(2).mean() * 0.1).backward()
        optimizer.step()
        scale_optimizer.step()
        found += [loss.item(), log_scale.item()]
        if number == 5:
            model[0].weight.requires_grad_(False)
    return model, found


@training
def losses_that_are_cut_off() -> Any:
    model, said = net(), []
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for number in range(4):
        x, y = batch()
        for cut in (lambda t: t.detach(), lambda t: torch.tensor(t.tolist())):
            try:
                functional.cross_entropy(cut(model(x)), y).backward()
            except RuntimeError as error:
                said.append(str(error))
        torch.tensor(float(number), requires_grad=True).backward()
        optimizer.zero_grad()
        targets, hidden = torch.zeros(16, 3), model(x)
        loss = functional.mse_loss(hidden, targets)
        if number == 2:
            targets += 1
        try:
            loss.backward()
            loss.backward()
        except RuntimeError as error:
            said.append(str(error)[:60])
        optimizer.step()
    return model, said


@training
def evaluated() -> Any:
    """Loaders and batches by hand, evaluated in every way; what is in a batch is changed in place by the script."""
    model, criterion, found = net(), nn.CrossEntropyLoss(label_smoothing=0.1), []
    x, y = torch.randn(60, 6), torch.randint(0, 3, (60,))
    train, held_out = (DataLoader(TensorDataset(x[a:b], y[a:b]), 8, shuffle=True) for a, b in ((0, 40), (40, 60)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for guard in (torch.no_grad, torch.inference_mode, torch.no_grad):
        model.train()
        for inputs, targets in train:
            optimizer.zero_grad()
            loss = criterion(model(inputs.mul_(1.01)), targets)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        model.eval()
        with guard():
            for inputs, targets in held_out:
                outputs = model(inputs)
                found.append(criterion(outputs, targets).item())
                outputs.zero_()
            found.append((model(x).argmax(1) == y).float().mean().item())
    return model, found


class Augmented(torch.utils.data.Dataset[Any]):
    """Draws from all generators in the worker."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        noise = np.random.rand() + random.random() + self.rng.random() + torch.rand(()).item()
        return torch.randn(6) * noise, index % 3


@training
def augmented_in_workers() -> Any:
    model, found = net(), []
    loader = DataLoader(Augmented(), 4, shuffle=True, num_workers=2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            found.append(x)
    return model, found


@training
def optimizers_that_come_and_go() -> Any:
    model, losses = net(), []
    for number in range(12):
        kind = torch.optim.Adam if number < 6 else torch.optim.RAdam
        optimizer = kind(model.parameters(), 0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4)
        x, y = batch()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.step()
        model.zero_grad(set_to_none=number % 2 == 0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            schedule.step()
            schedule.step(number + 1)
        losses.append((loss.item(), schedule.get_last_lr(), [(str(w.message), w.filename, w.lineno) for w in caught]))
    return model, losses


@training
def weights_changed_by_hand() -> Any:
    model, losses = net(), []
    for number in range(12):
        x, y = batch()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        for p in model.parameters():
            if number < 6:
                p.data -= 0.1 * p.grad
            else:
                with torch.no_grad():
                    p.sub_(p.grad, alpha=0.1)
            p.grad = None
        losses.append((loss.item(), [p._version for p in model.parameters()]))
    return model, losses


@training
def fused_steps_that_are_skipped() -> Any:
    model, scaler = net(), torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    optimizer, losses = torch.optim.AdamW(model.parameters(), 0.01, fused=True), []
    chained = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [torch.optim.lr_scheduler.LinearLR(optimizer), torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)],
        [3],
    )
    for number in range(12):
        x, y = batch()
        with torch.autocast("cpu", torch.bfloat16):
            loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=False)
        scaler.scale(loss).backward()
        if number % 4 == 1:
            next(model.parameters()).grad.fill_(torch.inf)
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        chained.step()
        losses.append((loss.item(), scaler.get_scale(), chained.get_last_lr()))
    return model, losses


@training
def best_state_put_back() -> Any:
    class Own(nn.Sequential):
        """A model with a state of its own making."""

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return super().state_dict(*args, **kwargs) | {"more": torch.ones(1)}

        def load_state_dict(self, state: Any, *args: Any, **kwargs: Any) -> Any:
            return super().load_state_dict({k: v for k, v in state.items() if k != "more"}, *args, **kwargs)

    model, losses, best, kept = Own(*net()), [], float("inf"), {}
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(8):
        x, y = batch()
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < best:
            best, kept = losses[-1], copy.deepcopy(model.state_dict())
    try:
        model.load_state_dict({"odd": torch.ones(1)})
    except RuntimeError as error:
        losses.append(str(error))
    losses.append(str(model.load_state_dict(kept)))
    part = {f"{prefix}x": value for prefix, value in model[0].state_dict(prefix="head.").items()}
    return model, losses, part


@training
def right_answers_counted() -> Any:
    """Counts right answers in numbers, tensors, lists and objects, and returns what it makes of them."""
    model, found = net(), []
    x, y = torch.randn(60, 6), torch.randint(0, 3, (60,))
    train, held_out = (DataLoader(TensorDataset(x[a:b], y[a:b]), 8, shuffle=True) for a, b in ((0, 40), (40, 60)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def evaluate() -> tuple[Any, ...]:
        correct, total, right, accs, counts = 0, 0, torch.zeros(()), [], {"hits": 0}
        for inputs, targets in held_out:
            hits = model(inputs).argmax(1) == targets
            correct += int(hits.sum())
            counts["hits"] += int(hits.sum())
            total += len(targets)
            right += hits.float().sum()
            accs.append(hits.float().mean().item())
        return correct / total, right, accs, counts

    for _ in range(3):
        train_correct = 0
        for inputs, targets in train:
            optimizer.zero_grad()
            outputs = model(inputs)
            nn.functional.cross_entropy(outputs, targets).backward()
            optimizer.step()
            train_correct += int((outputs.argmax(1) == targets).sum())
        with torch.no_grad():
            found.append((train_correct, *evaluate()))
    return model, found


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
