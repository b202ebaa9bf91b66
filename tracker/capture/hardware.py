"""The machine below the training: processor, memory, GPUs, C library. Read in the sidecar process."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .captured import Captured, Gap

if TYPE_CHECKING:
    from ..rules.engine.records import Json

PART = "environment"

NVIDIA_SMI_SECONDS = 2.0
"""A driver in trouble makes nvidia-smi hang; what it would say is not worth waiting for longer."""

_FIELDS = ("name", "driver_version", "compute_cap", "memory.total", "mig.mode.current")


def capture_hardware(process: Mapping[str, Json] | None = None) -> Captured:
    """CPU, memory, limits, GPUs and C library; `process` are the facts of the training process, if known.

    A GPU that torch uses but of which the driver cannot be read is a gap. Nothing is raised.
    """
    torch = (process or {}).get("torch")
    devices = torch.get("devices") if isinstance(torch, dict) else None
    gpus = nvidia_gpus()
    facts: dict[str, Json] = {
        "cpu": _or_none(cpu),
        "memory_bytes": _or_none(lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "limits": {"cpus": _or_none(_cpu_limit), "memory_bytes": _or_none(_memory_limit)},
        "gpus": gpus,
        "torch_devices": devices,
        "libc": " ".join(platform.libc_ver()) or None,
        "system": platform.system(),
        "release": platform.release(),
        "distribution": _or_none(lambda: platform.freedesktop_os_release()["PRETTY_NAME"]),
    }
    gaps = []
    if devices and not gpus:
        gaps.append(
            Gap(
                PART,
                "the GPU driver version is unknown: nvidia-smi gave no answer",
                "install nvidia-smi",
                blocking=True,
            )
        )
    return Captured(facts=facts, gaps=gaps, files=[])


def _or_none(read: Callable[[], Json]) -> Json:
    try:
        return read()
    except Exception:
        return None


def cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> Json:
    """Model, instruction sets and core counts. The widest vector unit chooses the kernels, and so the bits."""
    fields: dict[str, str] = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if not name.strip() and fields:
                break  # the processors of a machine are alike; the first block is enough
            fields[name.strip()] = value.strip()
    flags = sorted((fields.get("flags") or fields.get("Features") or "").split())
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "vendor": fields.get("vendor_id") or fields.get("CPU implementer"),
        "vector": vector_unit(flags),
        "flags": list(flags),
        "logical_cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def vector_unit(flags: list[str]) -> str | None:
    """The widest matrix or vector unit among the processor flags: amx, avx512, avx2, avx, sve, neon, or None."""
    for flag, unit in (
        ("amx_tile", "amx"), ("avx512f", "avx512"), ("avx2", "avx2"), ("avx", "avx"), ("sve", "sve"), ("asimd", "neon"),
    ):  # fmt: skip
        if flag in flags:
            return unit
    return None


def _cpu_limit() -> Json:
    """CPUs granted by the control group, or None without a limit."""
    unified = Path("/sys/fs/cgroup/cpu.max")
    if unified.exists():
        quota, period = unified.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    old = Path("/sys/fs/cgroup/cpu")
    granted = int((old / "cpu.cfs_quota_us").read_text())
    return None if granted < 0 else granted / int((old / "cpu.cfs_period_us").read_text())


def _memory_limit() -> Json:
    unified = Path("/sys/fs/cgroup/memory.max")
    if unified.exists():
        text = unified.read_text().strip()
        return None if text == "max" else int(text)
    granted = int(Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").read_text())
    return None if granted >= 1 << 60 else granted  # version 1 writes a huge number for "no limit"


def nvidia_gpus() -> list[Json]:
    """One row for each GPU that nvidia-smi names, [] when there is none or it does not answer in time."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=NVIDIA_SMI_SECONDS, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    rows: list[Json] = []
    for line in answer.stdout.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) == len(_FIELDS):
            name, driver, capability, memory, mig = values
            mebibytes = int(memory) if memory.isdigit() else None
            rows.append(
                {
                    "name": name,
                    "driver": driver,
                    "compute_capability": capability,
                    "memory_bytes": None if mebibytes is None else mebibytes << 20,
                    "mig": mig,
                }
            )
    return rows
