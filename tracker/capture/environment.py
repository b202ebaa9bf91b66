"""What the training process knows about itself: interpreter, entry, torch build, switches, threads, variables.

Everything here runs inside the training process, in a few milliseconds, and only reads. torch and numpy are looked at
when they are already loaded; nothing is imported, no CUDA context is made, no warning is triggered.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import cells
from .captured import Captured, Gap
from .secrets import redact, redact_value

if TYPE_CHECKING:
    from ..rules.engine.records import Json

PART = "environment"

ALLOWED_PREFIXES = (
    "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_",
    "ONEDNN_", "DNNL_", "NUMEXPR_", "NCCL_", "GLOO_", "TORCH", "PYTORCH_", "ATEN_", "HF_", "XLA_", "TRITON_",
)  # fmt: skip
"""Variables that can change numbers or the course of a training; all others are kept as names without values."""

ALLOWED_NAMES = frozenset(
    {
        "PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONUTF8", "TOKENIZERS_PARALLELISM", "TZ", "LANG", "LC_ALL",
        "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "SLURM_PROCID", "SLURM_NTASKS",
        "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
    }
)  # fmt: skip

_OF_ONE_LAUNCH = "TORCHELASTIC_"
"""Variables that torchrun makes up anew each time, such as the id of the launch and a temporary file."""


def capture_process(allow_env: Iterable[str] = ()) -> Captured:
    """The facts of this process: python, entry, platform, torch, numpy, threads, switches, variables, imported.

    `allow_env` names further variables whose values may be stored (redacted like all others). Nothing is raised: a
    part that cannot be read is left out, and what stops a re-run is named as a gap.
    """
    gaps: list[Gap] = []
    facts: dict[str, Json] = {
        "python": _guarded(_python, {}),
        "entry": _guarded(lambda: _entry(gaps), {}),
        "platform": _guarded(_platform, {}),
        "torch": _guarded(torch_build, None),
        "numpy": _guarded(_numpy, None),
        "threads": _guarded(threads, {}),
        "switches": _guarded(switches, {}),
        "variables": _guarded(lambda: _variables(frozenset(allow_env)), {}),
        "imported": _guarded(_imported, []),
    }
    return Captured(facts=facts, gaps=gaps, files=[])


def _guarded(read: Callable[[], Json], default: Json) -> Json:
    try:
        return read()
    except Exception:
        return default


def _python() -> Json:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "build": sys.version,
        "executable": sys.executable or None,
        "executable_name": os.path.basename(sys.executable or ""),
        "prefix_is_venv": sys.prefix != sys.base_prefix,
        "flags": {name: int(getattr(sys.flags, name)) for name in _flag_names()},
        "warn_options": list(sys.warnoptions),
        "x_options": {str(name): str(value) for name, value in sys._xoptions.items()},
    }


def _flag_names() -> list[str]:
    return [n for n in dir(sys.flags) if not n.startswith(("_", "n_")) and isinstance(getattr(sys.flags, n), int)]


def _entry(gaps: list[Gap]) -> Json:
    """How this process was started: `form`, script or module, argv, the interpreter's own argv, and the directory."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    original = list(getattr(sys, "orig_argv", []))
    form, module = "script", None
    if not file and cells.shell() is not None:
        form = "notebook"
    elif spec is not None and getattr(spec, "name", None):
        form, module = "module", str(spec.name).removesuffix(".__main__")
    elif file is None:
        form = "command" if "-c" in original else ("interactive" if _is_interactive() else "stdin")
    elif str(file) == "<stdin>":
        form = "stdin"

    if form in ("stdin", "interactive", "notebook") and cells.typed(form) is None:
        seen = {"stdin": "standard input", "interactive": "an interactive prompt", "notebook": "a notebook"}[form]
        gaps.append(
            Gap(
                PART,
                f"the code came from {seen}, so there is no file to run again",
                "run it as a script",
                blocking=True,
            )
        )
    # Those of a notebook are its kernel's.
    arguments, hidden = redact_arguments(sys.argv[1:] if form != "notebook" else [])
    if hidden:
        gaps.append(
            Gap(
                PART,
                f"{hidden} command-line argument(s) look like secrets and were not stored",
                "pass secrets by an environment variable",
                blocking=True,
            )
        )
    return {
        "form": form,
        "module": module,
        "script": os.path.abspath(file) if file and form == "script" else None,
        "argv0": sys.argv[0] if sys.argv else "",
        "argv": list(arguments),
        "orig_argv": list(redact_arguments(original)[0]),
        "cwd": _guarded(os.getcwd, None),
        "path": [str(entry) for entry in sys.path],
    }


def _is_interactive() -> bool:
    return bool(sys.flags.interactive) or hasattr(sys, "ps1")


def redact_arguments(arguments: Sequence[str]) -> tuple[list[str], int]:
    """The arguments with secret values hidden, and how many were hidden.

    A value is a secret by its own form or by the option's name: `--api-key X`, `--api-key=X`, `api_key=X`.
    """
    shown: list[str] = []
    hidden, option = 0, ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals:
            kept = f"{name}={redact_value(name.lstrip('-'), value)}"
        elif option and not argument.startswith("-"):
            kept = redact_value(option, argument)
        else:
            kept = redact(argument)
        hidden += kept != argument
        shown.append(kept)
        option = argument.lstrip("-") if argument.startswith("-") and not equals else ""
    return shown, hidden


def _platform() -> Json:
    system = os.uname() if hasattr(os, "uname") else None
    return {
        "system": system.sysname if system else sys.platform,
        "release": system.release if system else None,
        "machine": system.machine if system else None,
        "byte_order": sys.byteorder,
        "encoding": sys.getfilesystemencoding(),
    }


def torch_build() -> Json:
    """Version, commit, build options and CPU capability of the loaded torch, or None; GPUs only once CUDA is in use."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "version"):
        return None
    facts: dict[str, Json] = {
        "version": str(torch.__version__),
        "git": getattr(torch.version, "git_version", None),
        "cuda": getattr(torch.version, "cuda", None),
        "hip": getattr(torch.version, "hip", None),
        "debug": getattr(torch.version, "debug", None),
        "config": _guarded(lambda: torch.__config__.show(), None),
        "cpu_capability": _guarded(lambda: torch.backends.cpu.get_cpu_capability(), None),
    }
    # Asking for devices or for cuDNN before the user does would create a context or load libraries.
    if _guarded(lambda: bool(torch.cuda.is_initialized()), False):
        facts["cudnn"] = _guarded(lambda: torch.backends.cudnn.version(), None)
        facts["nccl"] = _guarded(lambda: ".".join(map(str, torch.cuda.nccl.version())), None)
        facts["devices"] = _guarded(lambda: [_device(torch, n) for n in range(torch.cuda.device_count())], None)
    return facts


def _device(torch: Any, index: int) -> Json:
    properties = torch.cuda.get_device_properties(index)
    return {
        "name": str(properties.name),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": int(properties.total_memory),
    }


def _numpy() -> Json:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "__version__"):
        return None
    config: Any = getattr(sys.modules.get("numpy.__config__"), "CONFIG", {})
    blas = config.get("Build Dependencies", {}).get("blas", {})
    simd = config.get("SIMD Extensions", {})
    return {
        "version": str(numpy.__version__),
        "blas": {key: str(blas[key]) for key in ("name", "version", "openblas configuration") if key in blas},
        "simd": [str(name) for name in [*simd.get("baseline", []), *simd.get("found", [])]],
    }


def threads() -> Json:
    """Thread counts that change the order of sums: torch within and between operations, cores this process may use."""
    torch: Any = sys.modules.get("torch")
    facts: dict[str, Json] = {"affinity": _guarded(lambda: len(os.sched_getaffinity(0)), os.cpu_count())}
    if torch is not None:
        facts["torch"] = _guarded(lambda: int(torch.get_num_threads()), None)
        facts["torch_interop"] = _guarded(lambda: int(torch.get_num_interop_threads()), None)
    return facts


# The functions of torch._C rather than the documented properties: those warn, or raise once the old and the new way
# of setting TF32 have been mixed. A getter that raises is recorded as "mixed", one that is missing is left out.
_GETTERS = {
    "deterministic_algorithms": "_get_deterministic_algorithms",
    "deterministic_warn_only": "_get_deterministic_algorithms_warn_only",
    "fill_uninitialized_memory": "_get_deterministic_fill_uninitialized_memory",
    "cudnn.enabled": "_get_cudnn_enabled",
    "cudnn.benchmark": "_get_cudnn_benchmark",
    "cudnn.deterministic": "_get_cudnn_deterministic",
    "cudnn.allow_tf32": "_get_cudnn_allow_tf32",
    "matmul.allow_tf32": "_get_cublas_allow_tf32",
    "matmul.fp16_reduced_precision": "_get_cublas_allow_fp16_reduced_precision_reduction",
    "matmul.bf16_reduced_precision": "_get_cublas_allow_bf16_reduced_precision_reduction",
    "matmul.fp16_accumulation": "_get_cublas_allow_fp16_accumulation",
    "float32_matmul_precision": "_get_float32_matmul_precision",
    "mkldnn.enabled": "_get_mkldnn_enabled",
    "mkldnn.deterministic": "_get_mkldnn_deterministic",
    "sdp.flash": "_get_flash_sdp_enabled",
    "sdp.mem_efficient": "_get_mem_efficient_sdp_enabled",
    "sdp.math": "_get_math_sdp_enabled",
    "sdp.cudnn": "_get_cudnn_sdp_enabled",
}
_PRECISIONS = (("cuda", "matmul"), ("cuda", "conv"), ("cuda", "rnn"), ("mkldnn", "matmul"), ("mkldnn", "conv"))


def switches() -> dict[str, Json]:
    """Every global switch of the loaded torch that can change the bits of a result; empty without torch."""
    torch: Any = sys.modules.get("torch")
    core: Any = getattr(torch, "_C", None)
    if core is None:
        return {}
    found: dict[str, Json] = {}
    for name, getter in _GETTERS.items():
        if hasattr(core, getter):
            value = _guarded(getattr(core, getter), "mixed")
            found[name] = list(value) if isinstance(value, tuple) else value
    if hasattr(core, "_get_fp32_precision_getter"):
        for backend, operation in _PRECISIONS:
            found[f"fp32.{backend}.{operation}"] = _precision(core, backend, operation)
    found["default_dtype"] = _guarded(lambda: str(torch.get_default_dtype()), None)
    found["default_device"] = _guarded(lambda: str(torch.get_default_device()), None)
    found["anomaly_mode"] = _guarded(lambda: bool(torch.is_anomaly_enabled()), None)
    return found


def _precision(core: Any, backend: str, operation: str) -> Json:
    return _guarded(lambda: str(core._get_fp32_precision_getter(backend, operation)), None)


def changed_switches(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, list[Json]]:
    """The switches that differ between two readings, as `{name: [before, after]}`; None where one was not known."""
    names = sorted({*before, *after})
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _variables(allowed: frozenset[str]) -> Json:
    values: dict[str, Json] = {}
    others: list[str] = []
    for name, value in sorted(os.environ.items()):
        is_known = name in ALLOWED_NAMES or name.startswith(ALLOWED_PREFIXES)
        if name in allowed or (is_known and not name.startswith(_OF_ONE_LAUNCH)):
            values[name] = redact_value(name, value)
        else:
            others.append(name)
    return {"values": values, "names": list(others)}


def _imported() -> list[Json]:
    """Top-level names of the loaded modules: a package that was never imported cannot have changed a number."""
    return [*sorted({name.partition(".")[0] for name in tuple(sys.modules)})]
