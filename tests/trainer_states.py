"""Logs of fine-tunings in the form of Transformers' `trainer_state.json`, healthy and faulty, made from formulas.

Each maker takes a seed and gives the `log_history`; `HEALTHY` and `FAULTY` name them all. Losses are means over the
steps since the last entry, rounded to four digits; gradient norms are those of a single step, as the trainer logs them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

Entry = dict[str, Any]
Curve = Callable[[float], float]
"""A value by the share of the run that is done, 0 to 1."""


def state(history: list[Entry], logging_steps: int = 10) -> dict[str, Any]:
    """The whole file around a `log_history`."""
    last = max(entry["step"] for entry in history)
    return {
        "best_metric": None,
        "best_model_checkpoint": None,
        "epoch": max(entry["epoch"] for entry in history),
        "global_step": last,
        "is_hyper_param_search": False,
        "is_local_process_zero": True,
        "is_world_process_zero": True,
        "log_history": history,
        "logging_steps": logging_steps,
        "max_steps": last,
        "num_train_epochs": 3,
        "train_batch_size": 8,
        "total_flos": 1.2e15,
    }


def linear(share: float, warm: float = 0.06) -> float:
    """Warm-up and linear decay to zero, of a peak of 1."""
    return share / warm if share < warm else (1 - share) / (1 - warm)


def cosine(share: float, warm: float = 0.03) -> float:
    """Warm-up and a cosine to zero, of a peak of 1."""
    return share / warm if share < warm else 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))


def history(
    seed: int,
    loss: Curve,
    *,
    noise: float = 0.05,
    rows: int = 60,
    every: int = 10,
    epochs: float = 3,
    rate: float = 2e-5,
    schedule: Curve = linear,
    norm: Curve | None = lambda share: 2.0,
    norm_noise: float = 0.4,
    evaluations: int = 3,
    evaluated: Callable[[float], Entry] | None = None,
    further: Callable[[float, random.Random], Entry] = lambda share, chance: {},
    summary: bool = True,
) -> list[Entry]:
    """`rows` training entries, `every` steps apart, evaluations evenly spread among them, and the summary at the end.

    `noise` is that of the loss, as a share of it; `norm_noise` the deviation of the norm's logarithm.
    """
    chance = random.Random(seed)
    entries: list[Entry] = []
    steps = rows * every
    due = [round(steps * (n + 1) / evaluations) for n in range(evaluations)] if evaluated is not None else []
    for row in range(1, rows + 1):
        step, share = row * every, row / rows
        while due and due[0] < step:
            entries.append(_evaluation(due.pop(0), steps, epochs, chance, evaluated))
        entry: Entry = {"epoch": round(epochs * share, 4)}
        if norm is not None:
            entry["grad_norm"] = norm(share) * math.exp(norm_noise * chance.gauss(0, 1))
        entry["learning_rate"] = rate * schedule((step - 1) / steps)
        entry["loss"] = round(loss(share) * (1 + noise * chance.gauss(0, 1)), 4)
        entries.append({**entry, **further(share, chance), "step": step})
    while due:
        entries.append(_evaluation(due.pop(0), steps, epochs, chance, evaluated))
    if summary:
        entries.append(
            {
                "epoch": epochs,
                "step": steps,
                "total_flos": 1.2e15,
                "train_loss": 0.5,
                "train_runtime": 812.4,
                "train_samples_per_second": 19.7,
                "train_steps_per_second": 1.2,
            }
        )
    return entries


def _evaluation(step: int, steps: int, epochs: float, chance: random.Random, evaluated: Any) -> Entry:
    share = step / steps
    return {
        "epoch": round(epochs * share, 4),
        **evaluated(share),
        "eval_runtime": 3.2 + chance.random(),
        "eval_samples_per_second": 152.5,
        "eval_steps_per_second": 9.8,
        "step": step,
    }


def _falling(start: float, end: float, speed: float = 4.0) -> Curve:
    return lambda share: end + (start - end) * math.exp(-speed * share)


# -- healthy -----------------------------------------------------------------------------------------------------------


def classifier(seed: int) -> list[Entry]:
    """BERT on two classes: the loss falls from ln 2, that on held-out data rises a little in the third epoch."""
    return history(
        seed,
        _falling(0.69, 0.12, 3.5),
        noise=0.12,
        norm=lambda share: 4.0,
        norm_noise=0.8,
        evaluated=lambda share: {
            "eval_accuracy": 0.89 + 0.02 * share,
            "eval_f1": 0.88 + 0.02 * share,
            "eval_loss": 0.30 + 0.08 * share**2,
        },
    )


def fitted_to_few(seed: int) -> list[Entry]:
    """Six epochs on little data: the training loss goes to zero, held-out accuracy holds, its loss rises by half."""
    return history(
        seed,
        _falling(1.1, 0.004, 7.0),
        noise=0.2,
        rows=40,
        epochs=6,
        evaluations=6,
        norm=lambda share: 6 * math.exp(-4 * share),
        norm_noise=1.0,
        evaluated=lambda share: {"eval_loss": 0.42 + 0.2 * max(0.0, share - 0.3), "eval_accuracy": 0.86 + 0.01 * share},
    )


def instructed(seed: int) -> list[Entry]:
    """LoRA on instructions: 2.3 to 1.8 at once, then nearly flat; one evaluation at the end; logged every step."""
    return history(
        seed,
        lambda share: 1.8 + 0.5 * math.exp(-15 * share) - 0.05 * share,
        noise=0.08,
        rows=600,
        every=1,
        epochs=1,
        rate=2e-4,
        schedule=cosine,
        norm=lambda share: 0.4,
        evaluations=1,
        evaluated=lambda share: {"eval_loss": 1.79},
    )


def barely_improving(seed: int) -> list[Entry]:
    """Further pre-training of a large model: the loss goes from 2.10 to 2.05 in noise of five per cent."""
    return history(
        seed,
        lambda share: 2.10 - 0.05 * share,
        noise=0.05,
        rows=300,
        epochs=1,
        rate=1e-5,
        schedule=cosine,
        norm=lambda share: 0.8,
        norm_noise=0.15,
    )


def short(seed: int) -> list[Entry]:
    """Eight entries, of a task that is learned in the first two."""
    return history(seed, _falling(0.9, 0.004, 14), noise=0.2, rows=8, every=50, epochs=1, norm=_falling(0.9, 0.03, 6))


def unlogged_norms(seed: int) -> list[Entry]:
    """An older version, without gradient norms, on images: from 0.12 to 0.07 in noise of a fifth, 66 entries."""
    return history(
        seed,
        lambda share: 0.12 - 0.05 * share,
        noise=0.18,
        rows=66,
        every=100,
        epochs=2,
        norm=None,
        evaluations=2,
        evaluated=lambda share: {"eval_accuracy": 0.935 + 0.02 * share, "eval_loss": 0.17 - 0.09 * share},
    )


def small_batches(seed: int) -> list[Entry]:
    """Batches of two: norms between 3 and 40, now and then exactly 0, losses that scatter by a third."""
    chance = random.Random(seed + 1)
    made = history(seed, _falling(3.2, 0.2, 9), noise=0.3, rows=75, epochs=5, norm=lambda share: 8.0, norm_noise=0.9)
    for entry in made:
        if "grad_norm" in entry and entry["loss"] < 1 and chance.random() < 0.1:
            entry["grad_norm"] = 0.0
    return made


def summed_over_accumulation(seed: int) -> list[Entry]:
    """The loss is logged as a sum over the accumulated batches: sixteen times that of the evaluations."""
    return history(
        seed,
        lambda share: 16 * (0.32 + 14 * math.exp(-9 * share)),
        noise=0.03,
        rows=24,
        every=100,
        epochs=2,
        norm=lambda share: 2.5 + 300 * math.exp(-9 * share),
        evaluations=8,
        evaluated=lambda share: {"eval_loss": 0.32 + 14 * math.exp(-9 * share)},
    )


def preferred(seed: int) -> list[Entry]:
    """DPO: the loss starts at ln 2, as it has to, rewards grow apart, norms grow as well."""

    def rewards(share: float, chance: random.Random) -> Entry:
        margin = 1.4 * share + 0.2 * chance.gauss(0, 1)
        return {
            "logits/chosen": -2.6,
            "logits/rejected": -2.5,
            "logps/chosen": -280.0 - 30 * share,
            "logps/rejected": -260.0 - 60 * share,
            "rewards/accuracies": min(1.0, 0.5 + 0.25 * share + 0.05 * chance.random()),
            "rewards/chosen": -0.4 * share,
            "rewards/margins": margin,
            "rewards/rejected": -0.4 * share - margin,
        }

    return history(
        seed,
        lambda share: 0.693 - 0.14 * share,
        noise=0.05,
        rows=100,
        epochs=1,
        rate=5e-7,
        schedule=lambda share: linear(share, 0.1),
        norm=lambda share: 8 + 25 * share,
        evaluations=4,
        evaluated=lambda share: {"eval_loss": 0.69 - 0.12 * share, "eval_rewards/accuracies": 0.6 + 0.1 * share},
        further=rewards,
    )


def rewarded(seed: int) -> list[Entry]:
    """GRPO: the loss begins at 0 and rises with the divergence, which is no fault; the reward is what counts."""
    return history(
        seed,
        lambda share: 0.0 if share < 0.1 else 0.002 * math.exp(3 * share),
        noise=0.3,
        rows=200,
        every=1,
        epochs=1,
        rate=1e-6,
        norm=lambda share: 0.3 + 0.4 * share,
        further=lambda share, chance: {
            "completion_length": 180 + 60 * share + 20 * chance.gauss(0, 1),
            "kl": 0.05 * share**2,
            "reward": 0.3 + 0.4 * share + 0.1 * chance.gauss(0, 1),
            "reward_std": 0.3,
        },
    )


def half_precision(seed: int) -> list[Entry]:
    """fp16: the first step was skipped while the loss scale was being found, so its norm is no number; then all is
    well."""
    made = history(seed, _falling(2.2, 1.2, 3), rows=90, rate=1e-4, norm=lambda share: 1.1)
    made[0]["grad_norm"], made[0]["learning_rate"] = math.inf, 0.0
    return made


def transcribed(seed: int) -> list[Entry]:
    """Whisper: the word error rate falls while the held-out loss rises from its best in the second of eight."""
    return history(
        seed,
        _falling(1.4, 0.01, 9),
        noise=0.15,
        rows=160,
        every=25,
        epochs=8,
        rate=1e-5,
        schedule=lambda share: linear(share, 0.12),
        norm=lambda share: 12 * math.exp(-3 * share) + 0.3,
        norm_noise=0.6,
        evaluations=4,
        evaluated=lambda share: {"eval_loss": 0.29 + 0.05 * share, "eval_wer": 38 - 6 * share},
    )


def embedded(seed: int) -> list[Entry]:
    """Sentence pairs in batches of negatives: from 1.5 to 0.25, scattering by a quarter; metrics with long names."""
    return history(
        seed,
        _falling(1.5, 0.25, 5),
        noise=0.25,
        rows=120,
        every=100,
        epochs=1,
        norm=None,
        evaluations=5,
        evaluated=lambda share: {"eval_loss": 0.5 - 0.2 * share, "eval_sts-dev_spearman_cosine": 0.8 + 0.05 * share},
    )


def transcribed_for_long(seed: int) -> list[Entry]:
    """Whisper for 18 epochs of a stream, whose epochs are counted 1.01, 2.01: the held-out loss creeps up by a third
    from its best, the error rate goes on falling."""
    made = history(
        seed,
        _falling(0.75, 0.01, 8),
        noise=0.5,
        rows=150,
        every=100,
        epochs=18,
        rate=1e-5,
        norm=None,
        evaluations=15,
        evaluated=lambda share: {
            "eval_loss": 0.225 + 0.05 * math.exp(-8 * share) + 0.08 * max(0.0, share - 0.4),
            "eval_wer": 9.6 + 4.7 * math.exp(-4 * share),
        },
    )
    return [{**entry, "epoch": int(entry["epoch"]) + 0.01, **_positive(entry)} for entry in made]


def _positive(entry: Entry) -> Entry:
    return {"loss": abs(entry["loss"]) + 0.003} if "loss" in entry else {}


def short_classes(seed: int) -> list[Entry]:
    """Three classes, thirty steps: one entry an epoch, the loss from 1.0957 to 1.03, the accuracy from 0.45 to 0.74."""
    return history(
        seed,
        lambda share: 1.127 - 0.095 * share,
        noise=0.005,
        rows=3,
        rate=1e-5,
        evaluated=lambda share: {"eval_accuracy": 0.3 + 0.44 * share, "eval_loss": 1.14 - 0.14 * share},
        summary=False,
    )


def rewarded_in_turns(seed: int) -> list[Entry]:
    """GRPO with many columns: losses around 0, of either sign, norms that drop to almost nothing now and then."""
    chance = random.Random(seed + 7)
    made = history(
        seed,
        lambda share: 0.0,
        rows=40,
        every=5,
        epochs=1,
        rate=5e-5,
        norm=lambda share: 0.3,
        further=lambda share, chance: {
            "completions/clipped_ratio": 0.8,
            "frac_reward_zero_std": 0.2,
            "kl": 0.01 * share,
            "reward": 0.4 + 0.3 * chance.gauss(0, 1),
            "rewards/format_reward_fn/mean": 0.85,
        },
        summary=False,
    )
    for entry in made:
        entry["loss"] = 0.08 * chance.gauss(0, 1)
        entry["grad_norm"] = 0.0002 if chance.random() < 0.1 else entry["grad_norm"]
    return made


def multi_task(seed: int) -> list[Entry]:
    """Two evaluation sets by name, accuracies in per cent, a cosine with restarts, clipped norms near 1."""
    return history(
        seed,
        _falling(1.6, 0.7, 3),
        noise=0.1,
        rows=90,
        schedule=lambda share: 0.5 * (1 + math.cos(math.pi * ((3 * share) % 1))),
        norm=lambda share: 1.0,
        norm_noise=0.05,
        evaluated=lambda share: {
            "eval_dev_accuracy": 71 + 9 * share,
            "eval_dev_loss": 0.95 - 0.15 * share,
            "eval_test_accuracy": 70 + 8 * share,
            "eval_test_loss": 0.97 - 0.13 * share,
        },
    )


def resumed(seed: int) -> list[Entry]:
    """Goes on from a checkpoint in the second epoch: the first entry has step 510 and a loss near the last one's."""
    made = history(seed, lambda share: 0.52 - 0.1 * share, noise=0.06, rows=50, norm=lambda share: 1.4)
    return [{**entry, "step": entry["step"] + 500, "epoch": entry["epoch"] + 1.0} for entry in made]


def classes_of_many(seed: int) -> list[Entry]:
    """77 intents: the loss starts at ln 77 and falls slowly in the first epoch, as the head has to be learned."""
    return history(
        seed,
        lambda share: 4.34 - 0.3 * share / 0.15 if share < 0.15 else 0.3 + 3.7 * math.exp(-5 * (share - 0.15)),
        noise=0.04,
        rows=70,
        epochs=5,
        evaluations=5,
        norm=lambda share: 3.0 + 3 * share,
        evaluated=lambda share: {
            "eval_loss": 0.3 + 3 * math.exp(-5 * share),
            "eval_accuracy": 0.92 - math.exp(-5 * share),
        },
    )


# -- faulty ------------------------------------------------------------------------------------------------------------


def underflowed(seed: int) -> list[Entry]:
    """fp16 collapses in the third row: the loss is logged as 0.0 and the norm as NaN from there on."""
    made = history(seed, _falling(2.2, 1.2, 3), evaluations=3, evaluated=lambda share: {"eval_loss": math.nan})
    for entry in made[2:]:
        if "loss" in entry:
            entry["loss"], entry["grad_norm"] = 0.0, math.nan
    return made


def silent_zero(seed: int) -> list[Entry]:
    """The same of an older version: no norms, no evaluation, only a loss of exactly 0.0 from one row to the next."""
    made = history(seed, _falling(2.2, 1.2, 3), norm=None)
    for entry in made[5:]:
        if "loss" in entry:
            entry["loss"] = 0.0
    return made


def nan_norms(seed: int) -> list[Entry]:
    """The norm is NaN from the middle on; the loss stays where it is, as no step is made any more."""
    made = history(seed, lambda share: 1.4 if share > 0.5 else 2.2 - 1.6 * share, rows=80)
    for entry in made[40:]:
        if "grad_norm" in entry:
            entry["grad_norm"] = math.nan
    return made


def diverged(seed: int) -> list[Entry]:
    """A rate of 1e-2: the loss falls at first, then climbs to four times its start and stays."""
    return history(
        seed,
        lambda share: 2.2 - 6 * share if share < 0.1 else min(9.0, 1.6 + 40 * (share - 0.1)),
        rate=1e-2,
        schedule=lambda share: 1.0,
        norm=lambda share: 3 if share < 0.1 else 60.0,
        norm_noise=0.8,
    )


def guessing(seed: int) -> list[Entry]:
    """Two classes: the loss stays at ln 2 for three epochs, the accuracy at one half."""
    return history(
        seed,
        lambda share: 0.6945,
        noise=0.01,
        rows=120,
        norm=lambda share: 1.5,
        evaluated=lambda share: {"eval_loss": 0.6935, "eval_accuracy": 0.5},
    )


def no_rate(seed: int) -> list[Entry]:
    """The rate is 0 throughout."""
    return history(seed, lambda share: 2.3, noise=0.05, rows=120, schedule=lambda share: 0.0)


def overfitted(seed: int) -> list[Entry]:
    """Ten epochs: the training loss goes to nothing, the held-out loss to more than twice its best, accuracy falls."""
    return history(
        seed,
        _falling(0.9, 0.01, 8),
        noise=0.15,
        rows=100,
        epochs=10,
        evaluations=10,
        evaluated=lambda share: {
            "eval_loss": 0.45 + 0.9 * max(0.0, share - 0.2),
            "eval_accuracy": 0.84 - 0.06 * max(0.0, share - 0.2),
        },
    )


def no_gradient(seed: int) -> list[Entry]:
    """Everything is frozen, or detached: the norm is 0 on every row and the loss goes nowhere."""
    return history(seed, lambda share: 1.93, noise=0.06, rows=90, norm=lambda share: 0.0)


def exploding(seed: int) -> list[Entry]:
    """Norms climb from 2 to 1e5, and the loss with them to seven."""
    return history(
        seed,
        lambda share: 2.0 - share if share < 0.4 else 1.6 + 9 * (share - 0.4),
        rows=100,
        rate=5e-4,
        schedule=lambda share: 1.0,
        norm=lambda share: 2.0 if share < 0.3 else 2.0 * 10 ** (4.7 * (share - 0.3) / 0.7),
        norm_noise=0.3,
    )


def forgotten(seed: int) -> list[Entry]:
    """LoRA at a rate of 3e-3: in the middle the loss jumps from 1.3 to 7 within a few rows, and stays flat there."""
    return history(
        seed,
        lambda share: 1.9 - 1.2 * share if share < 0.5 else 7.1,
        noise=0.03,
        rows=120,
        epochs=1,
        rate=3e-3,
        schedule=cosine,
        norm=lambda share: 0.6 if share < 0.5 else 0.05,
    )


def wrong_vocabulary(seed: int) -> list[Entry]:
    """A language model that knows nothing and learns nothing: ln 32000 from the first to the last entry."""
    return history(seed, lambda share: 10.37, noise=0.003, rows=100, rate=1e-9, norm=lambda share: 0.9)


def collapsed(seed: int) -> list[Entry]:
    """Three classes: the loss falls to 0.5, then is back at ln 3 at once, with an accuracy of one third."""
    return history(
        seed,
        lambda share: 1.1 - 1.5 * share if share < 0.4 else 1.0986,
        noise=0.01,
        rows=100,
        rate=1e-4,
        schedule=lambda share: 1.0,
        norm=lambda share: 6.0 if share < 0.4 else 0.1,
        evaluations=5,
        evaluated=lambda share: {
            "eval_loss": 0.55 if share < 0.45 else 1.1,
            "eval_accuracy": 0.8 if share < 0.45 else 0.34,
        },
    )


def overfitted_in_three(seed: int) -> list[Entry]:
    """Three evaluations: the held-out loss is more than twice its best at the last, and the accuracy falls."""
    return history(
        seed,
        _falling(0.6, 0.02, 4),
        noise=0.1,
        evaluated=lambda share: {
            "eval_loss": 0.40 + 0.55 * (1.5 * share - 0.5) ** 2,
            "eval_accuracy": 0.87 - 0.03 * share,
        },
    )


def huge_norms(seed: int) -> list[Entry]:
    """Norms around 2e4 from the first row to the last; the loss falls a little."""
    return history(seed, lambda share: 2.2 - 0.5 * share, noise=0.15, rows=80, norm=lambda share: 2e4, norm_noise=1.0)


def ended_schedule(seed: int) -> list[Entry]:
    """The schedule was made for a third of the steps: the rate is 0 for the rest."""
    return history(
        seed,
        lambda share: 1.8 - 0.4 * min(share, 0.3) / 0.3,
        noise=0.04,
        rows=100,
        schedule=lambda share: max(0.0, 1 - share / 0.3),
    )


def rising_briefly(seed: int) -> list[Entry]:
    """Twenty rows, fifty steps each, from 2 to 11."""
    return history(
        seed, lambda share: 2 + 9 * min(1.0, 2 * share), noise=0.05, rows=20, every=50, norm=lambda share: 20.0
    )


def unevaluated(seed: int) -> list[Entry]:
    """The held-out loss is NaN at every evaluation; the training is sound."""
    return history(seed, _falling(2.2, 1.5, 3), evaluated=lambda share: {"eval_loss": math.nan})


def lost_loss(seed: int) -> list[Entry]:
    """The loss itself is NaN from the middle on."""
    made = history(seed, _falling(2.2, 1.2, 3))
    for entry in made[30:]:
        if "loss" in entry:
            entry["loss"], entry["grad_norm"] = math.nan, math.nan
    return made


HEALTHY: dict[str, Callable[[int], list[Entry]]] = {
    maker.__name__: maker
    for maker in (
        classifier, fitted_to_few, instructed, barely_improving, short, unlogged_norms, small_batches,
        summed_over_accumulation, preferred, rewarded, half_precision, transcribed, embedded, multi_task, resumed,
        transcribed_for_long, short_classes, rewarded_in_turns, classes_of_many,
    )
}  # fmt: skip

FAULTY: dict[str, tuple[Callable[[int], list[Entry]], tuple[str, ...]]] = {
    "underflowed": (underflowed, ("vanished-loss", "nonfinite-gradient", "nonfinite-loss")),
    "silent_zero": (silent_zero, ("vanished-loss",)),
    "nan_norms": (nan_norms, ("nonfinite-gradient",)),
    "diverged": (diverged, ("loss-diverging", "learning-rate-too-high")),
    "guessing": (guessing, ("stuck-at-guessing",)),
    "no_rate": (no_rate, ("learning-rate-zero",)),
    "overfitted": (overfitted, ("overfitting",)),
    "no_gradient": (no_gradient, ("absent-gradient",)),
    "exploding": (exploding, ("exploding-gradient", "loss-diverging")),
    "forgotten": (forgotten, ("loss-diverging", "learning-rate-too-high")),
    "wrong_vocabulary": (wrong_vocabulary, ("stuck-at-guessing", "learning-rate-too-low")),
    "collapsed": (collapsed, ("stuck-at-guessing", "loss-diverging")),
    "overfitted_in_three": (overfitted_in_three, ("overfitted-fine-tuning", "overfitting")),
    "huge_norms": (huge_norms, ("huge-gradient", "exploding-gradient")),
    "ended_schedule": (ended_schedule, ("learning-rate-zero", "schedule-collapsed")),
    "rising_briefly": (rising_briefly, ("diverged-fine-tuning", "loss-diverging")),
    "unevaluated": (unevaluated, ("nonfinite-held-out-loss",)),
    "lost_loss": (lost_loss, ("nonfinite-loss",)),
}
"""Maker, and the rules of which one has to be the first headline."""
