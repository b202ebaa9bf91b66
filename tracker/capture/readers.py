"""Readers and writers that open files behind Python's back: their Python entries are wrapped to note the path.

They are written in C++ or Rust (parquet, HDF5, safetensors, OpenCV, torch's own archives), where no audit hook looks.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

from .opened import OpenedFiles, opened

READERS: dict[str, tuple[str, ...]] = {
    "pandas": ("read_parquet", "read_feather", "read_orc", "read_hdf"),
    "pyarrow.parquet": ("read_table", "read_pandas", "ParquetFile.__init__", "ParquetDataset.__init__"),
    "pyarrow": ("memory_map",),
    "pyarrow.dataset": ("dataset",),
    "pyarrow.csv": ("read_csv",),
    "pyarrow.feather": ("read_table", "read_feather"),
    "h5py": ("File.__init__",),
    "safetensors.torch": ("load_file",),
    "safetensors.numpy": ("load_file",),
    "cv2": ("imread", "VideoCapture"),
    "torch": ("from_file",),
    "torchvision.io": ("read_image", "read_video", "read_file"),
    "torchaudio": ("load",),
    "polars": ("read_parquet", "scan_parquet", "read_csv", "scan_csv", "read_ipc"),
    "lmdb": ("open",),
    "netCDF4": (),
    "tensorflow": (),
    "duckdb": (),
}
"""Libraries whose readers the audit hook does not see, with the functions that take the path first."""

WRITERS: dict[str, dict[str, int]] = {
    "torch": {"save": 1},
    "torchvision.utils": {"save_image": 1},
    "torchaudio": {"save": 0},
    "safetensors.torch": {"save_file": 1},
    "safetensors.numpy": {"save_file": 1},
    "pyarrow.parquet": {"write_table": 1},
    "cv2": {"imwrite": 0},
}
"""Writers that the audit hook does not see, with the position of the path among their arguments."""


def watch_readers(collector: OpenedFiles = opened) -> list[str]:
    """Wrap the readers that are loaded, each once; return the loaded libraries that cannot be wrapped.

    A name that a script imported before this call keeps calling the unwrapped function.
    """
    unseen = []
    for module_name, names in READERS.items():
        module = sys.modules.get(module_name)
        if module is None:
            continue
        try:
            wrapped = [_wrap(module, name, collector) for name in names if hasattr(module, name.partition(".")[0])]
        except Exception:
            wrapped = []
        if not any(wrapped):
            unseen.append(module_name)
    for module_name, positions in WRITERS.items():
        module = sys.modules.get(module_name)
        for name, position in positions.items() if module is not None else ():
            try:
                if hasattr(module, name):
                    _wrap(module, name, collector, position)
            except Exception:
                continue  # a warning about overwritten files is missed, and nothing else
    return unseen


def _wrap(module: Any, name: str, collector: OpenedFiles, writes_at: int | None = None) -> bool:
    """Wraps one function; `writes_at` is the position of the path of a writer. False for what cannot be wrapped."""
    owner_name, _, method = name.partition(".")
    owner = getattr(module, owner_name) if method else module
    attribute = method or owner_name
    original = getattr(owner, attribute)
    collectors: list[OpenedFiles] | None = getattr(original, "__notes_to__", None)
    if collectors is not None:
        if collector not in collectors:
            collectors.append(collector)
        return True
    noted_by = [collector]
    if isinstance(original, type) or (method and attribute not in vars(owner)):
        return False  # a class that is replaced would fail isinstance; an inherited method is not this class's
    position = writes_at if writes_at is not None else 1 if method else 0

    @functools.wraps(original)
    def reader(*args: Any, **kwargs: Any) -> Any:
        try:
            given = args[position] if len(args) > position else _path_argument(kwargs)
            paths = given if isinstance(given, (list, tuple)) else (given,)
            writes = writes_at is not None or _writes(given, args[position + 1 :], kwargs)
            for one in noted_by:
                if one.active:
                    for path in paths:
                        (one.note_written if writes else one.note)(path)
        except Exception:
            pass  # a path we cannot read is the reader's own business
        return original(*args, **kwargs)

    reader.__notes_to__ = noted_by  # type: ignore[attr-defined]
    setattr(owner, attribute, reader)
    return True


def _path_argument(kwargs: dict[str, Any]) -> object:
    names = ("path", "source", "where", "filename", "name", "path_or_buf", "path_or_paths", "uri", "f", "fp")
    return next((kwargs[name] for name in names if name in kwargs), None)


def _writes(path: object, further: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a mode argument (`h5py.File(name, "w")`) says that the file is an output."""
    mode = kwargs.get("mode", further[0] if further else None)
    if mode == "a":  # what is there already is read as well
        return not os.path.exists(path) if isinstance(path, (str, os.PathLike)) else False
    return isinstance(mode, str) and mode in ("w", "x", "w-")
