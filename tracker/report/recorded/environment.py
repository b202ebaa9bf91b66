"""The environment of a run: versions, hardware, switches, packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..blocks import Block
from .forms import byte_size, cut_table, facts_of, rows_in, table_in


def blocks(captured: Mapping[str, Any]) -> list[Block]:
    """Nothing where no environment was captured."""
    facts = table_in(captured, "environment.json")
    if not facts:
        return []
    process, hardware = table_in(facts, "process"), table_in(facts, "hardware")
    torch, cpu, python = table_in(process, "torch"), table_in(hardware, "cpu"), table_in(process, "python")
    cores = f"{cpu.get('logical_cores')}, of which {cpu.get('usable_cores')} may be used" if cpu else None
    found: list[Block] = [
        *facts_of(
            (
                ("Python", f"{python.get('implementation') or ''} {python.get('version') or ''}".strip()),
                ("torch", torch.get("version")),
                ("built for", torch.get("cuda") or torch.get("hip") or "the CPU alone" if torch else None),
                ("cuDNN", torch.get("cudnn")),
                ("NCCL", torch.get("nccl")),
                ("GPUs", [_gpu(gpu) for gpu in rows_in(hardware.get("gpus"))] or "none"),
                ("CPU", cpu.get("model")),
                ("cores", cores),
                ("vector unit", torch.get("cpu_capability") or cpu.get("vector")),
                ("threads of torch", table_in(process, "threads").get("torch")),
                ("memory", byte_size(hardware.get("memory_bytes"))),
                ("system", hardware.get("distribution") or hardware.get("system")),
                ("kernel", hardware.get("release")),
                ("C library", hardware.get("libc")),
                ("digest of all of it", facts.get("digest")),
            )
        )
    ]
    packages = sorted(
        rows_in(facts.get("packages")), key=lambda row: (not row.get("imported"), str(row.get("name")).lower())
    )
    found += cut_table(
        ("package", "version", "imported", "from"),
        ((row.get("name"), row.get("version"), bool(row.get("imported")), row.get("origin")) for row in packages),
        "{n} packages; those that the run imported come first",
    )
    switches = sorted(table_in(process, "switches").items())
    found += cut_table(("switch of torch", "value"), switches, "{n} switches of torch")
    variables = sorted(table_in(process, "variables", "values").items())
    return found + cut_table(
        ("variable", "value"), variables, "{n} environment variables that can change numbers; others are not stored"
    )


def _gpu(gpu: Mapping[str, Any]) -> str:
    parts = (gpu.get("name"), byte_size(gpu.get("memory_bytes")), gpu.get("driver"))
    return " ".join(str(part) for part in parts if part)
