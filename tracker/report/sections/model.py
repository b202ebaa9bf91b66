"""The structure of the model: its layers with their shapes and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..blocks import Block, Facts, Group, Section, Table, Text
from ..gathering.sources import Source
from ..recorded.forms import rows_in, said, table_in

MOST_LAYERS = 400
MOST_PARAMETERS = 800
_OWN = frozenset({"class", "parameters", "output", "calls"})


def sections(source: Source) -> Sequence[Section]:
    """One, with a part for each model that was trained; none where no model was seen."""
    facts = source.gathered.facts
    models = {str(name): one for name, one in table_in(facts, "model").items() if isinstance(one, Mapping)}
    blocks: list[Block] = []
    for name, model in models.items():
        parts = _model(model)
        blocks += parts if len(models) == 1 else [Group(name or str(model.get("class")), parts)]
    blocks += _io(facts)
    blocks += _parameters(table_in(facts, "parameters"))
    return [Section("model", "Model", blocks)] if blocks else []


def shape(value: object) -> str:
    """A shape as `32 × 16 × 8`; what is none, as it is."""
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value)) or "a single number"
    return "" if value is None else said(value)


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else said(value) if value is not None else ""


def _model(model: Mapping[str, Any]) -> list[Block]:
    total, trainable = model.get("parameters"), model.get("trainable")
    items: list[tuple[str, object]] = [("Class", said(model.get("class")))]
    if model.get("wrapper"):
        items.append(("Wrapped in", said(model["wrapper"])))
    items += [
        ("Parameters", _count(total)),
        ("of them trained", _count(trainable)),
        ("Modules", _count(model.get("modules"))),
    ]
    found: list[Block] = [Facts(items)]
    layers = [(str(name), one) for name, one in table_in(model, "layers").items() if isinstance(one, Mapping)]
    rows = [
        (
            name,
            said(layer.get("class")),
            shape(layer.get("output")),
            _count(layer.get("parameters")),
            _share(layer.get("parameters"), total),
            ", ".join(f"{key} {said(value)}" for key, value in layer.items() if key not in _OWN),
        )
        for name, layer in layers[:MOST_LAYERS]
    ]
    if rows:
        n = model.get("n_layers")
        caption = f"The first {len(rows)} of {n} layers." if isinstance(n, int) and n > len(rows) else ""
        headers = ("layer", "class", "output", "parameters", "share", "settings")
        folded = "" if len(rows) <= 30 else f"{len(rows)} layers"
        found.append(Table(headers, rows, caption, folded, frozenset({3, 4})))
    for key, words in (("frozen", "Not trained"), ("uncalled", "Never called"), ("unregistered", "Not registered")):
        names = model.get(key)
        if isinstance(names, list) and names:
            more = model.get(f"n_{key}")
            rest = f" and {more - len(names)} more" if isinstance(more, int) and more > len(names) else ""
            found.append(Text((f"{words}: {', '.join(map(str, names))}{rest}.",), "muted"))
    return found


def _share(part: object, whole: object) -> str:
    if isinstance(part, int) and isinstance(whole, int) and whole > 0 and part:
        return f"{100 * part / whole:.3g} %"
    return ""


def _io(facts: Mapping[str, Any]) -> list[Block]:
    """What goes in, what comes out, what is optimised and how."""
    items: list[tuple[str, object]] = [
        (f"Input {name}", f"{shape(table_in(one).get('shape'))} {table_in(one).get('dtype') or ''}")
        for name, one in table_in(facts, "inputs").items()
    ]
    loss = table_in(facts, "loss")
    if loss:
        items.append(("Loss", f"{said(loss.get('function'))}, reduced by {said(loss.get('reduction'))}"))
        items.append(("Outputs it is given", shape(loss.get("outputs_shape"))))
        items.append(("Targets", f"{shape(loss.get('targets_shape'))} {loss.get('targets_dtype') or ''}"))
    for optimizer in rows_in(facts.get("optimizer")):
        groups = rows_in(optimizer.get("groups"))
        rates = ", ".join(said(group.get("lr")) for group in groups[:8])
        items.append(("Optimizer", f"{said(optimizer.get('class'))}, learning rate at first {rates}"))
    shown = [(name, value) for name, value in items if str(value).strip()]
    return [Facts(shown)] if shown else []


def _parameters(parameters: Mapping[str, Any]) -> list[Block]:
    rows = [
        (str(name), shape(one.get("shape")), said(one.get("dtype") or ""), "yes" if one.get("trainable") else "no")
        for name, one in list(parameters.items())[:MOST_PARAMETERS]
        if isinstance(one, Mapping)
    ]
    if not rows:
        return []
    folded = f"{len(parameters)} parameter tensors"
    if len(parameters) > len(rows):
        folded += f", the first {len(rows)} of them"
    return [Table(("parameter", "shape", "type", "trained"), rows, folded=folded)]
