"""One evaluation as it is looked at: the samples that are fixed, and those with the largest losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import torch

from .budget import FREE_PASSES
from .chosen_rows import ChosenRows
from .criterion import Criterion, Mismatch
from .row_prints import moved, row_prints
from .said_of_rows import SaidOfRows, answer, rounded
from .sample_inputs import Form, picture_in, text_of

if TYPE_CHECKING:
    from ..rules.engine.records import Json

_MOST_TEXTS = 1 << 14
"""Samples of an evaluation whose texts wait until it is known which are told."""

_MOST_FORMS = 64

CHUNK = 1 << 16
"""Elements of small batches that are kept to be judged together."""

REAL = "real/"
"""What the fields with the real inputs of a sample are called, in front of the argument."""

_WORD = (1 << 64) - 1


class Batch(NamedTuple):
    """A batch that was evaluated: what the model was given of each sample, and both sides of the loss."""

    criterion: Criterion
    outputs: torch.Tensor
    targets: torch.Tensor
    """As `Criterion.prepare` gives them: one or more rows for each sample."""
    dims: int
    """Dimensions of what the model returned."""
    main: torch.Tensor
    """The input (N, ...) that tells the samples apart."""
    form: Form
    beside: Sequence[torch.Tensor] = ()
    """Further inputs (N, ...) that do so, where it has few values."""
    texts: Sequence[str] = ()
    real: Mapping[str, torch.Tensor] = MappingProxyType({})
    """All inputs (N, ...) by argument, where single samples are to be given to the model again."""

    @property
    def samples(self) -> int:
        return len(self.main)

    @property
    def elements(self) -> int:
        """Values that a copy of it has."""
        return self.outputs.numel() + sum(tensor.numel() for tensor in (self.main, *self.beside, *self.real.values()))

    def is_like(self, other: Batch) -> bool:
        """Whether both can be joined."""
        return self._layout() == other._layout()

    def _layout(self) -> tuple[object, ...]:
        rows = self.outputs.numel() // max(1, self.samples)
        alike = [(t.shape[1:], t.dtype, t.device) for t in (self.main, self.targets, self.outputs, *self.beside)]
        return id(self.criterion), self.dims, self.form, rows, alike, list(self.real), not self.texts

    def copied(self) -> Batch:
        """A copy: the script may write to its own."""
        return self._replace(
            outputs=self.outputs.clone(),
            targets=self.targets.clone(),
            main=self.main.detach().clone(),
            beside=[tensor.detach().clone() for tensor in self.beside],
            real={name: tensor.detach().clone() for name, tensor in self.real.items()},
        )


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches that are alike, as one."""
    first = batches[0]
    if len(batches) == 1:
        return first
    return first._replace(
        outputs=torch.cat([batch.outputs for batch in batches]),
        targets=torch.cat([batch.targets for batch in batches]),
        main=torch.cat([batch.main for batch in batches]),
        beside=[torch.cat(parts) for parts in zip(*(batch.beside for batch in batches), strict=True)],
        texts=[text for batch in batches for text in batch.texts],
        real={name: torch.cat([batch.real[name] for batch in batches]) for name in first.real},
    )


class Row(NamedTuple):
    """One sample of an evaluation, on the CPU."""

    number: int
    """Of its inputs: see `row_prints`."""
    entry: dict[str, Json]
    """As it stands in the fact `predictions`."""
    form: Form
    input: torch.Tensor
    text: str | None
    real: Mapping[str, torch.Tensor]
    """What the model was given of it, (1, ...) each; empty unless that was asked for."""

    @property
    def id(self) -> str:
        """The number in 16 hexadecimal digits."""
        return f"{self.number & _WORD:016x}"

    def sample(self, split: str, why: str, picture: tuple[int, int, int] | None) -> dict[str, Json]:
        """The fact `sample`."""
        kind, shown = self.form.told(self.input, picture)
        if self.text is not None and kind != "image":
            kind, shown = "text", text_of(self.text)
        shape: list[Json] = [*self.form.shape]
        return {
            "id": self.id,
            "split": split,
            "why": why,
            "kind": kind,
            "shape": shape,
            "dtype": self.form.dtype,
            "input": shown,
            "target": self.entry["target"],
        }


class LookedAt:
    """One evaluation of one split. What is chosen stays on the device until all batches were there."""

    def __init__(self, split: str, most: int, worst: int, fixed: torch.Tensor | None) -> None:
        """`fixed` are the numbers of the samples that were chosen before; without them they are chosen now."""
        self.split = split
        self.step = self.number = 0
        self.seconds = 0.0
        """What looking at it has cost."""
        self.form: Form | None = None
        """That of the first batch."""
        self.fixed: list[Row] = []
        self.worst: list[Row] = []
        self.picture: tuple[int, int, int] | None = None
        """What `flat_picture` said in the first evaluation."""
        self._most = most
        self._given = fixed
        self._wanted = set(fixed.tolist()) if fixed is not None else None
        # As many again: a sample that is there twice must not take the place of another.
        self._fixed, self._worst = ChosenRows(2 * most, None if fixed is None else 1), ChosenRows(2 * worst)
        self._most_worst = worst
        self._forms: list[Form] = []
        self._kind = ""
        self._samples = self._batches = 0
        self._texts: dict[int, str] = {}
        self._waiting: list[Batch] = []
        self._elements = 0
        self._home: list[dict[str, torch.Tensor]] = []
        """What was chosen, on its way to the CPU."""
        self._events: list[torch.cuda.Event] = []

    def add(self, batch: Batch) -> None:
        """Takes a batch. Small ones are judged together with others: a call for each would cost more than most."""
        if self._batches == FREE_PASSES:
            self._judge_waiting()
        self._batches += 1
        self.form = self.form or batch.form
        if batch.elements > CHUNK // 4:
            self._judge(batch)
            return
        if self._waiting and not batch.is_like(self._waiting[0]):
            self._judge_waiting()
        self._waiting.append(batch.copied())
        self._elements += batch.elements
        if self._elements >= CHUNK:
            self._judge_waiting()

    def _judge_waiting(self) -> None:
        waiting, self._waiting, self._elements = self._waiting, [], 0
        if waiting:
            self._judge(joined(waiting))

    def _judge(self, batch: Batch) -> None:
        if batch.form not in self._forms:
            if len(self._forms) >= _MOST_FORMS:
                return
            self._forms.append(batch.form)
        try:
            said = SaidOfRows(batch.criterion, batch.outputs, batch.targets, batch.samples, batch.dims)
        except Mismatch:
            return  # the score of the evaluation, which is made of the same, is not told either
        number, start, n = self._forms.index(batch.form), self._samples, said.samples
        self._kind = said.kind
        prints = row_prints(batch.main, batch.beside)[:n]

        def fields_of(places: torch.Tensor) -> dict[str, torch.Tensor]:
            return {
                "print": prints[places],
                "place": places + start,
                "form": torch.full_like(places, number),
                "input": batch.form.cut(batch.main[places]),
                **said.fields(places),
            }

        def fields_of_fixed(places: torch.Tensor) -> dict[str, torch.Tensor]:
            return {**fields_of(places), **{REAL + name: tensor[places] for name, tensor in batch.real.items()}}

        if self._given is None:
            if self._batches <= FREE_PASSES:
                self._fixed.offer(prints, fields_of_fixed)
        else:
            if self._given.device != prints.device:
                self._given = moved(self._given, prints.device)
            self._fixed.offer((prints.unsqueeze(1) != self._given).all(1).long(), fields_of)
        losses = said.losses.detach().float()
        self._worst.offer(-torch.nan_to_num(losses, nan=torch.inf, neginf=0.0, posinf=torch.inf), fields_of)
        for at, text in enumerate(batch.texts[: min(n, _MOST_TEXTS - len(self._texts))]):
            self._texts[start + at] = text
        self._samples += n

    def send(self) -> None:
        """The evaluation is over: what was chosen goes to the CPU. Nobody waits."""
        self._judge_waiting()
        fixed, worst = self._fixed.fields(), self._worst.fields()
        devices = {tensor.device for tensor in (*fixed.values(), *worst.values()) if tensor.is_cuda}
        self._home = [{name: _sent(tensor) for name, tensor in fields.items()} for fields in (fixed, worst)]
        for device in devices:
            with torch.cuda.device(device):
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record()
                self._events.append(event)

    @property
    def is_there(self) -> bool:
        """Whether reading it would not wait."""
        return all(event.query() for event in self._events)  # type: ignore[no-untyped-call]

    def read(self) -> None:
        """Makes `fixed` and `worst` of what was chosen; waits for the device."""
        for event in self._events:
            event.synchronize()
        fixed, worst = self._home
        self.fixed = sorted(self._rows(fixed, self._most, self._wanted), key=lambda row: row.number)
        self.worst = self._rows(worst, self._most_worst)
        self._fixed, self._worst, self._home, self._texts = ChosenRows(0), ChosenRows(0), [], {}

    def flat_picture(self) -> tuple[int, int, int] | None:
        """The shape of the pictures that the samples are, laid flat; None where they are none."""
        flat = [row.input for row in (*self.fixed, *self.worst) if row.form.kind == "flat"]
        return picture_in(torch.stack(flat)) if flat and len({len(values) for values in flat}) == 1 else None

    def _rows(self, fields: Mapping[str, torch.Tensor], most: int, wanted: set[int] | None = None) -> list[Row]:
        if not fields:
            return []
        found: dict[int, Row] = {}
        given = [name for name in fields if name.startswith(REAL)]
        plain = {name: values.tolist() for name, values in fields.items() if name in _TOLD}
        for at, number in enumerate(plain["print"]):
            if number in found or len(found) >= most or (wanted is not None and number not in wanted):
                continue
            entry: dict[str, Json] = {}
            for name in ("target", "predicted"):
                entry[name] = answer(self._kind, plain[name][at]) if name in plain else None
            if "top" in plain:
                entry["top"] = [
                    [int(label), rounded(share)]
                    for label, share in zip(plain["top"][at], plain["shares"][at], strict=True)
                ]
            entry["loss"] = rounded(plain["loss"][at])
            real = {name: fields[name][at : at + 1] for name in given}
            form = self._forms[plain["form"][at]]
            text = self._texts.get(plain["place"][at])
            row = found[number] = Row(number, entry, form, fields["input"][at], text, real)
            entry["id"] = row.id
        return list(found.values())


_TOLD = ("print", "place", "form", "loss", "target", "predicted", "top", "shares")


def _sent(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_cuda:
        return tensor.cpu()
    home = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    with torch.cuda.device(tensor.device):
        home.copy_(tensor, non_blocking=True)
    return home
