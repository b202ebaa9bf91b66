"""What torch is set to, for the whole process or this thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .part import Part

_Setting = tuple[str, Callable[[], Any], Callable[[Any], object]]


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(kept: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(kept[0], warn_only=kept[1])


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_anomaly(kept: tuple[bool, bool]) -> None:
    torch.set_anomaly_enabled(*kept)


def _device() -> Any:
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _set_device(kept: Any) -> None:
    torch.set_default_device(kept.device if kept is not None else None)


def _filling() -> bool:
    return bool(torch.utils.deterministic.fill_uninitialized_memory)  # type: ignore[attr-defined]


def _set_filling(kept: bool) -> None:
    torch.utils.deterministic.fill_uninitialized_memory = kept  # type: ignore[attr-defined]


def _autocast_of(device: str) -> _Setting:
    def get() -> tuple[bool, torch.dtype]:
        return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)

    def put(kept: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, kept[0])
        torch.set_autocast_dtype(device, kept[1])

    return f"autocast on {device}", get, put


def _flag(name: str, put: str | None = None) -> _Setting:
    """A flag of torch's C part, which is asked `_get_<name>` and told `_set_<name>`."""
    get = getattr(torch._C, f"_get_{name}")
    return name.replace("_", " "), get, getattr(torch._C, put or f"_set_{name}")


_FLAGS = (
    ("cudnn_enabled", None),
    ("cudnn_benchmark", None),
    ("cudnn_deterministic", None),
    ("cudnn_allow_tf32", None),
    ("cublas_allow_tf32", None),
    ("float32_matmul_precision", None),
    ("flash_sdp_enabled", "_set_sdp_use_flash"),
    ("mem_efficient_sdp_enabled", "_set_sdp_use_mem_efficient"),
    ("math_sdp_enabled", "_set_sdp_use_math"),
    ("cudnn_sdp_enabled", "_set_sdp_use_cudnn"),
)


def _all() -> tuple[_Setting, ...]:
    found: list[_Setting] = [
        ("gradients", torch.is_grad_enabled, torch._C._set_grad_enabled),
        ("default dtype", torch.get_default_dtype, torch.set_default_dtype),
        ("default device", _device, _set_device),
        ("deterministic algorithms", _deterministic, _set_deterministic),
        ("filling of new memory", _filling, _set_filling),
        ("threads", torch.get_num_threads, torch.set_num_threads),
        ("anomaly detection", _anomaly, _set_anomaly),
        ("autocast cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        _autocast_of("cpu"),
        _autocast_of("cuda"),
    ]
    for name, put in _FLAGS:
        if hasattr(torch._C, f"_get_{name}") and hasattr(torch._C, put or f"_set_{name}"):
            found.append(_flag(name, put))
    return tuple(found)


_SETTINGS = _all()


def _read() -> dict[str, Any]:
    values = {}
    for name, get, _ in _SETTINGS:
        try:
            values[name] = get()
        except RuntimeError:  # a flag that is read the new way once it was set the new way
            continue
    return values


class SettingsPart(Part):
    """All settings of torch."""

    __slots__ = ("_kept",)

    def __init__(self, thing: Any = None) -> None:
        self._kept = _read()

    def restore(self) -> None:
        now = _read()
        for name, _, put in _SETTINGS:
            if name in self._kept and name in now and now[name] != self._kept[name]:
                put(self._kept[name])
        torch.clear_autocast_cache()  # it may hold weights, in half precision, as a drill had made them

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        return {name: repr(value) for name, value in _read().items()}
