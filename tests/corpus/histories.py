"""Real trainings, healthy and faulty, written as users write them: none of them knows of the tracker.

`HEALTHY` and `FAULTY` map a name to a training, a function of a seed; `observing` runs it with and without the tracker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim import lr_scheduler as schedulers

from tests.corpus import tasks
from tests.corpus.observing import Log, Training


@dataclass(frozen=True)
class Recipe:
    """A training of one model on one data set; the second half of the fields is there for the faults."""

    data: Callable[[], tasks.Data] = tasks.digits
    model: Callable[[], nn.Module] = tasks.mlp
    optimizer: Callable[..., Optimizer] = field(default=partial(Adam, lr=1e-3))
    loss: str = "cross_entropy"
    epochs: int = 10
    batch: int = 64
    accumulate: int = 1
    clip: float | None = None
    schedule: Callable[[Optimizer, int], schedulers.LRScheduler] | None = None
    """Made from the optimizer and the number of steps; stepped after each."""
    weight: tuple[float, ...] | None = None
    smoothing: float = 0.0
    profile: str | None = None
    noise: float = 0.0
    """Standard deviation of the noise added to training inputs."""

    zero_grad: bool = True
    logits: Callable[[Tensor], Tensor] = field(default=lambda logits: logits)
    objective: Callable[[Tensor, nn.Module], Tensor] = field(default=lambda loss, model: loss)
    before_step: Callable[[int, Optimizer], None] = field(default=lambda step, optimizer: None)


def train(recipe: Recipe, seed: int, log: Log) -> nn.Module:
    """Trains by the recipe; `log` gets the metrics of each epoch."""
    torch.manual_seed(seed)
    data, model = recipe.data(), recipe.model()
    optimizer = recipe.optimizer([p for p in model.parameters() if p.requires_grad])
    steps = recipe.epochs * math.ceil(len(data.x) / recipe.batch / recipe.accumulate)
    schedule = recipe.schedule(optimizer, steps) if recipe.schedule else None
    done = 0
    for _ in range(recipe.epochs):
        model.train()
        right, seen = 0, 0
        batches = torch.randperm(len(data.x)).split(recipe.batch)
        for n, batch in enumerate(batches):
            x, y = data.x[batch], data.y[batch]
            out = model(x + recipe.noise * torch.randn_like(x) if recipe.noise else x)
            loss = recipe.objective(_loss(recipe, recipe.logits(out), y), model)
            (loss / recipe.accumulate if recipe.accumulate > 1 else loss).backward()
            if recipe.loss != "mse":
                right, seen = right + int((_answers(out) == y).sum()), seen + y.numel()
            if (n + 1) % recipe.accumulate and n + 1 < len(batches):
                continue
            if recipe.clip:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            recipe.before_step(done, optimizer)
            optimizer.step()
            done += 1
            if recipe.zero_grad:
                optimizer.zero_grad()
            if schedule:
                schedule.step()
        log(**_evaluate(recipe, model, data), **({"train_acc": right / seen} if seen else {}))
    return model


def _answers(out: Tensor) -> Tensor:
    return out.argmax(-1) if out.shape[-1] > 1 else (out.flatten() > 0).long()


def _loss(recipe: Recipe, out: Tensor, y: Tensor, plain: bool = False) -> Tensor:
    if recipe.loss == "mse":
        return F.mse_loss(out, y)
    if recipe.loss == "binary":
        weight = torch.tensor(recipe.weight) if recipe.weight and not plain else None
        return F.binary_cross_entropy_with_logits(out.flatten(), y.float(), pos_weight=weight)
    weight = torch.tensor(recipe.weight) if recipe.weight and not plain else None
    smoothing = 0.0 if plain else recipe.smoothing
    return F.cross_entropy(out.flatten(0, -2), y.flatten(), weight=weight, label_smoothing=smoothing)


@torch.no_grad()
def _evaluate(recipe: Recipe, model: nn.Module, data: tasks.Data) -> dict[str, float]:
    model.eval()
    out = model(data.x_val)
    metrics = {"val_loss": float(_loss(recipe, recipe.logits(out), data.y_val, plain=True))}
    if recipe.loss != "mse":
        metrics["val_acc"] = float((_answers(out) == data.y_val).float().mean())
    return metrics


def adversarial(seed: int, log: Log) -> nn.Module:
    """A generator and a discriminator of points on a circle."""
    torch.manual_seed(seed)
    maker, judge = tasks.mlp(4, 2, 32), tasks.mlp(2, 1, 32)
    first, second = Adam(maker.parameters(), 1e-3, (0.5, 0.9)), Adam(judge.parameters(), 1e-3, (0.5, 0.9))
    for _ in range(6):
        for _ in range(50):
            angle = 6.283 * torch.rand(64)
            real, fake = torch.stack([angle.cos(), angle.sin()], 1), maker(torch.randn(64, 4))
            second.zero_grad()
            loss = F.softplus(-judge(real)).mean() + F.softplus(judge(fake.detach())).mean()
            loss.backward()
            second.step()
            first.zero_grad()
            F.softplus(-judge(fake)).mean().backward()
            first.step()
        log(critic_loss=float(loss.detach()))
    return nn.ModuleDict({"maker": maker, "judge": judge})


@dataclass(frozen=True)
class Named:
    """A training with its task profile, where that cannot be inferred."""

    run: Callable[[int, Log], nn.Module]
    profile: str | None = None

    def __call__(self, seed: int, log: Log) -> nn.Module:
        return self.run(seed, log)


def _warm_cosine(optimizer: Optimizer, steps: int) -> schedulers.LRScheduler:
    def rate(step: int) -> float:
        warm = max(1, steps // 10)
        return step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return schedulers.LambdaLR(optimizer, rate)


def _one_cycle(rate: float) -> Callable[[Optimizer, int], schedulers.LRScheduler]:
    return lambda optimizer, steps: schedulers.OneCycleLR(optimizer, rate, total_steps=steps + 1)


def _restarts(optimizer: Optimizer, steps: int) -> schedulers.LRScheduler:
    return schedulers.CosineAnnealingWarmRestarts(optimizer, max(1, steps // 3))


def _of(recipe: Recipe) -> Training:
    return Named(partial(train, recipe), recipe.profile)


_MLP = Recipe()
_CNN = Recipe(data=tasks.images, model=tasks.cnn, epochs=5)
_LM = Recipe(tasks.sequences, tasks.Transformer, partial(AdamW, lr=3e-3), profile="language-model", batch=32, epochs=6)
_SINE = Recipe(tasks.sine, partial(tasks.mlp, 1, 1), partial(Adam, lr=3e-3), "mse", batch=32, epochs=15)
_RARE = Recipe(tasks.rare_digit, partial(tasks.mlp, 64, 2), epochs=12)

HEALTHY: dict[str, Training] = {
    "mlp, Adam": _of(_MLP),
    "mlp, Adam 1e-2": _of(replace(_MLP, optimizer=partial(Adam, lr=1e-2), epochs=8)),
    "mlp, SGD momentum": _of(replace(_MLP, optimizer=partial(SGD, lr=0.05, momentum=0.9))),
    "mlp, plain SGD, slow": _of(replace(_MLP, optimizer=partial(SGD, lr=0.02), epochs=12)),
    "mlp, SGD 0.5": _of(replace(_MLP, optimizer=partial(SGD, lr=0.5))),
    "mlp, RMSprop, clipped": _of(replace(_MLP, optimizer=partial(RMSprop, lr=2e-3), clip=1.0)),
    "mlp, batch of 4": _of(replace(_MLP, batch=4, epochs=3, optimizer=partial(SGD, lr=0.01))),
    "mlp, tanh, deep": _of(replace(_MLP, model=partial(tasks.mlp, depth=5, act=nn.Tanh))),
    "mlp, accumulation": _of(replace(_MLP, batch=16, accumulate=4)),
    "mlp, label smoothing, input noise": _of(replace(_MLP, smoothing=0.1, noise=0.3)),
    "mlp, dropout, label noise": _of(replace(_MLP, data=tasks.noisy_digits, model=tasks.dropout_mlp, epochs=12)),
    "mlp, one cycle": _of(replace(_MLP, optimizer=partial(SGD, lr=0.1, momentum=0.9), schedule=_one_cycle(0.2))),
    "mlp, warm restarts": _of(replace(_MLP, optimizer=partial(Adam, lr=3e-3), schedule=_restarts, epochs=12)),
    "mlp, from a checkpoint": _of(replace(_MLP, model=tasks.trained, optimizer=partial(Adam, lr=1e-4))),
    "mlp, fine-tuned": _of(
        replace(_MLP, model=tasks.pretrained, optimizer=partial(AdamW, lr=2e-4), profile="fine-tune")
    ),
    "logistic regression, full batch": _of(
        replace(_MLP, model=partial(nn.Linear, 64, 10), optimizer=partial(SGD, lr=0.3), batch=2000, epochs=120)
    ),
    "residual, zero start, cosine": _of(
        replace(_MLP, model=tasks.Residual, optimizer=partial(AdamW, lr=2e-3), schedule=_warm_cosine)
    ),
    "cnn, Adam": _of(_CNN),
    "cnn, SGD, warm-up and cosine": _of(
        replace(_CNN, optimizer=partial(SGD, lr=0.1, momentum=0.9, weight_decay=5e-4), schedule=_warm_cosine, epochs=8)
    ),
    "regression, sine": _of(_SINE),
    "regression, diabetes, weight decay": _of(
        Recipe(tasks.diabetes, partial(tasks.mlp, 10, 1, 16, 1), partial(AdamW, lr=3e-3, weight_decay=0.1), "mse",
               batch=32, epochs=15)
    ),
    "regression, batch of 2": _of(replace(_SINE, batch=2, optimizer=partial(SGD, lr=0.01), epochs=6)),
    "transformer, AdamW, warm-up": _of(replace(_LM, schedule=_warm_cosine, clip=1.0)),
    "gru, Adam": _of(replace(_LM, model=tasks.Recurrent, schedule=None)),
    "gru, SGD, clipped": _of(replace(_LM, model=tasks.Recurrent, optimizer=partial(SGD, lr=1.0), clip=0.5)),
    "rare class, weighted": _of(replace(_RARE, weight=(0.525, 10.0))),
    "rare class, learned all the same": _of(replace(_RARE, epochs=15)),
    "rare class, binary, pos_weight": _of(
        replace(_RARE, loss="binary", model=partial(tasks.mlp, 64, 1), weight=(19.0,))
    ),
    "weak signal": _of(Recipe(tasks.weak_signal, partial(tasks.mlp, 20, 2, 8, 1), epochs=8)),
    "weak signal, binary, small": _of(
        Recipe(tasks.weak_signal, partial(nn.Linear, 20, 1), partial(SGD, lr=0.1), "binary", epochs=8)
    ),
    "adversarial": Named(adversarial),
}  # fmt: skip


def _zero(make: Callable[[], nn.Module]) -> nn.Module:
    model = make()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def _wide(make: Callable[[], nn.Module], factor: float) -> nn.Module:
    model = make()
    for parameter in model.parameters():
        parameter.data.mul_(factor)
    return model


def _jump(step: int, optimizer: Optimizer) -> None:
    if step == 120:
        optimizer.param_groups[0]["lr"] *= 3000


def _root(loss: Tensor, model: nn.Module) -> Tensor:
    # The norm is fine until the weight it is taken of is 0; then its gradient is 0 / 0.
    weight = next(model.parameters())
    with torch.no_grad():
        weight[0] = 0
    return loss + 0.0 * (weight[0] ** 2).sum().sqrt()


FAULTY: dict[str, tuple[Training, frozenset[str]]] = {
    name: (_of(recipe), frozenset(loud))
    for name, recipe, loud in (
        ("Adam, rate x 100", replace(_MLP, optimizer=partial(Adam, lr=0.3)), {"learning-rate-too-high"}),
        ("Adam, rate x 10 000", replace(_MLP, optimizer=partial(Adam, lr=10)), {"learning-rate-too-high"}),
        ("SGD, rate x 100", replace(_MLP, optimizer=partial(SGD, lr=10)), {"learning-rate-too-high"}),
        ("SGD, rate x 10 000", replace(_MLP, optimizer=partial(SGD, lr=1000)), {"learning-rate-too-high"}),
        ("sine, SGD, rate x 100", replace(_SINE, optimizer=partial(SGD, lr=5)),
         {"learning-rate-too-high", "nonfinite-loss"}),
        ("gru, Adam, rate x 1000", replace(_LM, model=tasks.Recurrent, optimizer=partial(Adam, lr=3)),
         {"learning-rate-too-high"}),
        ("Adam, rate 1e-6", replace(_MLP, optimizer=partial(Adam, lr=1e-6)),
         {"loss-not-decreasing", "learning-rate-too-low"}),
        ("SGD, rate 1e-6", replace(_MLP, optimizer=partial(SGD, lr=1e-6)),
         {"loss-not-decreasing", "update-ratio", "learning-rate-too-low"}),
        ("SGD, rate 1e-9", replace(_MLP, optimizer=partial(SGD, lr=1e-9)), {"learning-rate-too-low", "update-ratio"}),
        ("rate jumps at step 120", replace(_MLP, before_step=_jump),
         {"loss-diverging", "weight-divergence", "learning-rate-too-high"}),
        ("no zero_grad", replace(_MLP, zero_grad=False, optimizer=partial(SGD, lr=0.1, momentum=0.9)),
         {"loss-diverging", "exploding-gradient", "nonfinite-loss", "missing-zero-grad"}),
        ("sign flipped", replace(_MLP, objective=lambda loss, model: -loss),
         {"no-better-than-baseline", "negative-loss"}),
        ("labels in another order", replace(_MLP, data=tasks.shuffled_digits),
         {"no-better-than-baseline", "unlearnable-labels"}),
        ("NaN in one image", replace(_MLP, data=tasks.broken_digits), {"nonfinite-loss", "nonfinite-input"}),
        ("root of zero", replace(_MLP, objective=_root), {"nonfinite-gradient"}),
        ("all weights start at zero", replace(_MLP, model=partial(_zero, tasks.mlp)),
         {"loss-not-decreasing", "no-better-than-baseline", "symmetric-initialisation"}),
        ("weights start 8 times too large", replace(_MLP, model=partial(_wide, tasks.mlp, 8.0)),
         {"initial-loss", "initialisation-scale"}),
        ("inputs not scaled", replace(_MLP, data=tasks.raw_digits), {"initial-loss", "unnormalised-input"}),
        ("deep sigmoid, SGD", replace(_MLP, model=partial(tasks.mlp, depth=8, act=nn.Sigmoid),
                                      optimizer=partial(SGD, lr=0.05)),
         {"vanishing-gradient", "loss-not-decreasing"}),
        ("sixty images by heart", replace(_MLP, data=tasks.few_digits, batch=16, epochs=60,
                                          optimizer=partial(Adam, lr=3e-3)), {"overfitting"}),
        ("rare class, unweighted", Recipe(tasks.rare_and_hidden, partial(tasks.mlp, 20, 2)),
         {"class-imbalance-unweighted"}),
        ("decay of 10", replace(_MLP, optimizer=partial(SGD, lr=0.1, weight_decay=10)),
         {"loss-not-decreasing", "no-better-than-baseline", "weight-decay-dominates"}),
        ("softmax of a softmax, twice", replace(_MLP, optimizer=partial(SGD, lr=0.01),
                                                logits=lambda z: z.softmax(-1).softmax(-1)),
         {"loss-not-decreasing", "no-better-than-baseline", "double-softmax"}),
    )
}  # fmt: skip
"""Each with the rules of which one at least must be loud."""
