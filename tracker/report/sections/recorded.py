"""Code, hyperparameters, data, environment and randomness, as they were captured."""

from __future__ import annotations

from collections.abc import Sequence

from ..blocks import Block, Group, Section
from ..gathering.sources import Source
from ..recorded import code, data, environment, hyperparameters, randomness

_PARTS = (
    ("Hyperparameters", hyperparameters.blocks),
    ("Code", code.blocks),
    ("Data", data.blocks),
    ("Environment", environment.blocks),
    ("Randomness", randomness.blocks),
)


def sections(source: Source) -> Sequence[Section]:
    """One, with a part for each thing that was captured; parameters alone where MLflow has nothing else."""
    groups: list[Block] = []
    for title, blocks in _PARTS:
        found = blocks(source.captured)
        if not found and title == "Hyperparameters":
            found = hyperparameters.params_table(source.params)
        if found:
            groups.append(Group(title, found, folded=title != "Code"))
    return [Section("recorded", "What was recorded", groups)] if groups else []
