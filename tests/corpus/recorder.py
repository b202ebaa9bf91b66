"""Records a real training the way the probes do, so that rules can be judged on it without the observer."""

from __future__ import annotations

import math

import torch
from torch import nn

from tracker.rules.engine import Event, Fact, Json, Reading, Record
from tracker.rules.engine.records import END, EPOCH, JUDGE
from tracker.rules.engine.signals import CLASS_COUNT, GRAD_NORM, LOSS, LR, METRIC, UPDATE_RATIO

DENSE, EVERY = 10, 10
"""Parameters are sampled at each of the first `DENSE` steps, then at every `EVERY`-th."""

STEP_JUDGEMENTS = 50
"""Steps between two judgements of the step phase."""


class Recorder:
    """Gathers the records of one training; call the methods in the order of the loop."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, facts: dict[str, Json]) -> None:
        self.records: list[Record] = []
        self.step = 0
        self._model, self._optimizer = model, optimizer
        self._epoch, self._first_step = 0, 0
        self._rates: dict[str, float] = {}
        self._before: dict[str, torch.Tensor] = {}
        self._counts: dict[int, int] = {}
        groups: list[Json] = [{"lr": g["lr"], "weight_decay": g.get("weight_decay", 0)} for g in optimizer.param_groups]
        parameters: Json = {
            name: {"shape": [int(n) for n in p.shape], "trainable": p.requires_grad} for name, p in self._named()
        }
        self.fact("optimizer", [{"class": type(optimizer).__name__, "groups": groups}])
        self.fact("parameters", parameters)
        for name, value in facts.items():
            self.fact(name, value)

    def fact(self, name: str, value: Json) -> None:
        self.records.append(Fact(name, self.step, value))

    def loss(self, value: float) -> None:
        self._read(LOSS.name, "", value)

    def labels(self, labels: torch.Tensor) -> None:
        for label, count in zip(*(t.tolist() for t in labels.flatten().unique(return_counts=True)), strict=True):
            self._counts[int(label)] = self._counts.get(int(label), 0) + count

    def before_step(self) -> None:
        for n, group in enumerate(self._optimizer.param_groups):
            if self._rates.get(str(n)) != group["lr"]:
                self._rates[str(n)] = group["lr"]
                self._read(LR.name, str(n), group["lr"])
        norms = {name: float(p.grad.norm()) for name, p in self._named() if p.grad is not None}
        self._read(GRAD_NORM.name, "", math.sqrt(sum(n * n for n in norms.values())))
        self._before = {}
        if self.step < DENSE or self.step % EVERY == 0:
            for name, norm in norms.items():
                self._read(GRAD_NORM.name, name, norm)
            self._before = {name: p.detach().clone() for name, p in self._named() if name in norms}

    def after_step(self) -> None:
        now = dict(self._named())
        for name, before in self._before.items():
            size = float(before.norm())
            if size > 0:
                self._read(UPDATE_RATIO.name, name, float((now[name].detach() - before).norm()) / size)
        last = [r for r in self.records[-len(self._before) * 2 - 8 :] if isinstance(r, Reading) and r.step == self.step]
        if self.step % STEP_JUDGEMENTS == STEP_JUDGEMENTS - 1 or not all(math.isfinite(r.value) for r in last):
            self._judge("step")
        self.step += 1

    def end_epoch(self, **metrics: float) -> None:
        last = max(0, self.step - 1)
        for label, count in self._counts.items():
            self.records.append(Reading(CLASS_COUNT.name, str(label), last, float(count)))
        for key, value in metrics.items():
            self.records.append(Reading(METRIC.name, key, last, value))
        data: dict[str, Json] = {"epoch": self._epoch, "first_step": self._first_step, "last_step": last}
        self.records.append(Event(EPOCH, last, data))
        self._judge("epoch")
        self._epoch, self._first_step = self._epoch + 1, self.step

    def end(self) -> list[Record]:
        self.records.append(Event(END, self.step, {"status": "FINISHED"}))
        self._judge("run")
        return self.records

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, p) for name, p in self._model.named_parameters() if p.requires_grad]

    def _read(self, signal: str, subject: str, value: float) -> None:
        self.records.append(Reading(signal, subject, self.step, value))

    def _judge(self, phase: str) -> None:
        self.records.append(Event(JUDGE, max(0, self.step - (phase != "step")), {"phase": phase}))
