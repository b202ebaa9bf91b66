"""What only the training process can tell of itself, brought together: `process.json` and the facts rules judge."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from .. import reproducing
from . import cells, environment, hyperparameters, launchers, randomness
from .captured import Captured, Gap, guarded
from .class_weights import ClassWeights, from_given, from_sampler, from_tensor
from .opened import opened
from .readers import watch_readers
from .seedings import seedings

if TYPE_CHECKING:
    from ..rules.engine import Settings
    from ..rules.engine.records import Json


_OWN_FOLDERS = tuple(
    os.path.join(os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir, name)), "")
    for name in ("", "rules")
)
"""Our own modules are no part of the user's code."""


class ProcessFacts:
    """Collects, from entry to end; never raises, and names a gap for each part that cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gaps: list[Gap] = []
        self._content: dict[str, Any] = {}
        self._facts: dict[str, Json] = {}
        self._params: dict[str, str] = {}
        self._python_at_entry = ""
        self._is_launched = False
        self._weights: ClassWeights | None = None

    def at_entry(self, frame: FrameType | None, spec: Mapping[str, Any], children: Path) -> dict[str, Any]:
        """Reads the process at block entry; returns the content of `process.json`.

        Forked children (data-loader workers) report the files they open into the folder `children`.
        """
        seedings.report_to(str(children))
        self._is_launched = bool(spec.get("launched"))
        if self._settings.capture.data:
            children.mkdir(exist_ok=True)
            opened.report_children(children)
        process = guarded("environment", environment.capture_process, self._settings.capture.allow_env)
        self._take(process)
        self._content["environment"] = process.facts
        found = hyperparameters.from_frames(frame)
        self._params = hyperparameters.flatten(found)
        self._content["params"] = found
        self._facts["params"] = dict(self._params)
        at_import, at_entry = randomness.capture_at_import(), randomness.RandomState.capture()
        state = guarded(
            "randomness", randomness.capture_randomness, at_import, at_entry, is_rerun=bool(reproducing.plan())
        )
        self._take(state)
        self._content["randomness"] = {
            "seeding": state.facts,
            "at_import": at_import.as_json(),
            "at_entry": at_entry.as_json(),
            "seedings": seedings.as_json(),
        }
        self._facts["randomness"] = {**state.facts, "state_captured": not at_entry.failed}
        self._python_at_entry = at_entry.digests().get("python", "")
        given = spec.get("class_weights")
        if given is not None:
            self._note_weights(from_given(given))
        if self._settings.profile is not None:
            self._facts["profile"] = self._settings.profile
        return self._with_files()

    def at_first_step(
        self, optimizer: Any, number: int, frame: FrameType
    ) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
        """Settings of an optimizer, and of the schedulers and loaders around it: (params, facts)."""
        import torch

        from ..frames import objects_in

        prefix = f"{number}/" if number else ""
        described = hyperparameters.describe_optimizer(optimizer)
        # Every group has all settings; the defaults would only say most of them twice.
        settings: Json = {name: value for name, value in described.items() if name != "defaults"}
        nested: dict[str, Json] = {f"optimizer/{prefix}".rstrip("/"): settings}
        short = {**described, "class": str(described.get("class", "")).rsplit(".", 1)[-1]}
        optimizers = [*self._facts.get("optimizer", []), short]  # type: ignore[misc]
        self._facts["optimizer"] = optimizers
        wanted = (torch.optim.lr_scheduler.LRScheduler, torch.utils.data.DataLoader)
        for name, value in objects_in(frame, wanted).items():
            if isinstance(value, torch.utils.data.DataLoader):
                nested[f"loader/{name}"] = hyperparameters.describe_loader(value)
            elif getattr(value, "optimizer", None) is optimizer:
                nested[f"scheduler/{name}"] = hyperparameters.describe_scheduler(value)
        if not number:
            own = objects_in(frame, (random.Random,))
            self._gaps += filter(None, (randomness.own_generator_gap(*item) for item in own.items()))
        found = hyperparameters.from_frames(frame)
        params = {**hyperparameters.flatten(found), **hyperparameters.flatten(nested)}
        fresh = {key: value for key, value in params.items() if self._params.get(key) != value}
        self._params.update(fresh)
        self._content["params"] = {**self._content.get("params", {}), **found, **nested}
        return fresh, {"optimizer": optimizers}

    def class_weights(self, weights: Any, function: str) -> tuple[Mapping[str, Json], Mapping[str, Json]] | None:
        """Weights found on the loss, as (fact, params); None when weights are known already."""
        return self._note_weights(from_tensor(weights, f"weight of {function}"))

    def _note_weights(self, found: ClassWeights | None) -> tuple[Mapping[str, Json], Mapping[str, Json]] | None:
        """Keeps the weights that are known first: what was given stands before what is found."""
        if found is None or self._weights is not None:
            return None
        self._weights = found
        self._content["class_weights"] = found.table()
        self._params.update(found.params)
        self._facts["class_weights"] = dict(found.as_fact())
        self._facts["params"] = dict(self._params)
        return found.as_fact(), found.params

    def sampler_weights(self, iterator: Any) -> Json | None:
        """The weights a loader draws its samples by, summed up; None when it draws evenly."""
        sampler = getattr(getattr(iterator, "_index_sampler", None), "sampler", None)
        found = from_sampler(sampler) if type(sampler).__name__ == "WeightedRandomSampler" else None
        if found is None:
            return None
        self._content["sampler_weights"] = found.table()
        return {"n": sum(found.counts or ()), "distinct": len(found.classes)}

    def label_counts(self, counts: Mapping[str, int]) -> None:
        """How often each label was seen: stands beside the weights, or alone."""
        self._content["class_counts"] = dict(counts)
        if self._weights is not None:
            self._content["class_weights"] = self._weights.with_counts(counts).table()

    def at_end(self) -> dict[str, Any]:
        """Reads again what may have changed; returns the final content of `process.json`."""
        before = self._content.get("environment", {}).get("switches", {})
        changed = environment.changed_switches(before, environment.switches())
        if changed:
            self._content["switches_changed"] = changed
        self._content["environment_at_end"] = {
            "threads": environment.threads(),
            "switches": environment.switches(),
            "torch": environment.torch_build(),
        }
        at_end = randomness.RandomState.capture().digests()
        self._content["randomness_at_end"] = dict(at_end)
        known = self._facts.get("randomness")
        if isinstance(known, dict):
            # Libraries draw from Python's generator while they are imported: there, only the block counts.
            first = {**randomness.capture_at_import().digests(), "python": self._python_at_entry}
            used: dict[str, Json] = {f"{name}_used": at_end[name] != state for name, state in first.items()}
            self._facts["randomness"] = {**known, **used}
            if used["python_used"] is False:
                self._gaps = [gap for gap in self._gaps if gap.what != randomness.DRAWN_BEFORE]
        return self.so_far()

    def so_far(self) -> dict[str, Any]:
        """The content of `process.json` as it stands now: generators and files that came up since are in it."""
        if "randomness" in self._content:
            # CUDA's generators come up when a device is first used, mostly inside the block.
            at_import = randomness.capture_at_import().with_cuda_since(randomness.RandomState.capture())
            self._content["randomness"]["at_import"] = at_import.as_json()
            self._content["randomness"]["seedings"] = seedings.as_json()
        return self._with_files()

    def _with_files(self) -> dict[str, Any]:
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        self._content["loaded_files"] = sorted(
            file for file in files if isinstance(file, str) and not file.startswith(_OWN_FOLDERS)
        )
        self._content["unseen_readers"] = watch_readers() if self._settings.capture.data else []
        self._content["opened"] = opened.paths() if self._settings.capture.data else []
        self._content["rewritten"] = opened.rewritten() if self._settings.capture.data else []
        self._content["climbing"] = opened.climbing() if self._settings.capture.data else []
        self._content["outputs"] = opened.outputs() if self._settings.capture.data else []
        self._content["listed"] = opened.listed() if self._settings.capture.data else []
        self._content["opened_overflow"] = opened.overflowed
        self._content["started_as"] = launchers.started_as()
        self._content["typed"] = cells.typed(self._content.get("environment", {}).get("entry", {}).get("form"))
        self._content["gaps"] = self.gaps()
        return self._content

    def facts(self) -> dict[str, Json]:
        """The facts for the rules."""
        return dict(self._facts)

    def started_by(self, words: Sequence[str], world_size: int) -> None:
        """Keeps how the processes that train together were started: by a process with these words."""
        launcher = launchers.started_by(words, sys.orig_argv)
        self._content["launcher"] = launchers.as_json(launcher)
        if launcher is None:
            command = " ".join(environment.redact_arguments(words)[0])
            self.gap(
                "command",
                f"the run is {world_size} processes that train together, and a re-run starts one",
                f"start them as they were started: {command}" if command else "start them as they were started",
            )
        elif not launcher:
            self.gap(
                "randomness",
                f"the script started {world_size} processes itself: what it drew before, unseeded, is not known",
                "seed the generators, or start the processes with torchrun",
                blocking=False,
            )

    def gap(self, part: str, what: str, fix: str, blocking: bool = True) -> None:
        """Names something a later reader would miss."""
        self._gaps.append(Gap(part, what, fix, blocking))

    def gaps(self) -> list[dict[str, Json]]:
        """Every gap so far, as it is stored."""
        more = randomness.seeding_gaps(self._is_launched)
        return [gap.as_json() for gap in (*self._gaps, *more)]

    def _take(self, captured: Captured) -> None:
        self._gaps += captured.gaps
