"""Hyperparameters are found in any script, described without running its code, and always fit MLflow."""

import argparse
import dataclasses
import enum
import gc
import inspect
import json
import os
import pathlib
import subprocess
import sys
import time
import types
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, TensorDataset, WeightedRandomSampler

from tracker.capture.hyperparameters import (
    describe_loader,
    describe_optimizer,
    describe_scheduler,
    flatten,
    from_frames,
    plain,
)

torch.set_num_threads(1)
ROOT = pathlib.Path(__file__).parents[2]


class Colour(enum.Enum):
    RED = 1


class Hostile:
    def __repr__(self):
        raise RuntimeError("never asked")

    __str__ = __repr__
    __len__ = __repr__


class Loud(str):
    def __str__(self):
        raise RuntimeError("never asked")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (0.1, 0.1),
        (True, True),
        (None, None),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**70, str(2**70)),
        ("grüße 你好", "grüße 你好"),
        ("\ud800", "\\ud800"),
        (Loud("x"), "x"),
        (np.float32(0.5), 0.5),
        (np.int64(4), 4),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([1, 2]), [1, 2]),
        (torch.ones(30, 40), "<Tensor (30, 40) torch.float32>"),
        (torch.ones(2, device="meta"), "<Tensor (2,) torch.float32>"),
        (torch.float16, "torch.float16"),
        (torch.device("cpu"), "cpu"),
        (pathlib.Path("a/b"), "a/b"),
        (Colour.RED, "Colour.RED"),
        ({2, 1}, [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ((1, [2, {"k": 3}]), [1, [2, {"k": 3}]]),
        (b"123", "<3 bytes>"),
        (json.dumps, "json.dumps"),
        (nn.Linear, "torch.nn.modules.linear.Linear"),
        (types.SimpleNamespace(a=1), {"a": 1}),
    ],
)
def test_every_kind_of_value_becomes_sensible_json(value, expected):
    assert plain(value) == expected


def test_hostile_cyclic_deep_and_huge_values_stay_bounded_and_never_raise():
    cycle = []
    cycle.append(cycle)
    found = [plain(Hostile()), plain(cycle), plain(list(range(5000))), plain("x" * 5_000_000), plain(10**20_000)]

    assert found[0].endswith("Hostile>")
    assert len(found[2]) == 1001
    assert len(found[3]) < 1_000_100
    assert "bits" in found[4]
    assert json.dumps(found, allow_nan=False)


def test_secrets_are_hidden_by_name_and_by_form():
    key = "Zx81kd92Lm40Qw73Pe55"
    found = json.dumps(plain({"api_key": key, "nested": {"password": "hunter2secret"}, "note": "ghp_" + "a1B2c3" * 6}))

    assert key not in found
    assert "hunter2secret" not in found
    assert "a1B2c3a1B2c3" not in found


def test_a_nested_main_is_searched_outward_for_its_arguments():
    def inner():
        return from_frames(inspect.currentframe())

    def main():
        settings = argparse.Namespace(lr=0.1, layers=[1, 2], name="ü")
        config = {"depth": 3, "lr": 99}
        result = inner()
        return result, settings, config

    found = main()[0]

    assert found["args"] == {"lr": 0.1, "layers": [1, 2], "name": "ü", "depth": 3}


def test_a_dataclass_called_config_counts_and_other_objects_do_not():
    @dataclasses.dataclass
    class Settings:
        width: int = 8
        drop: float = 0.5

    def main():
        cfg, unrelated = Settings(width=16), Settings()
        return from_frames(inspect.currentframe()), cfg, unrelated

    assert main()[0]["args"] == {"width": 16, "drop": 0.5}


def test_looking_at_a_frame_keeps_nothing_alive():
    def main():
        big = nn.Linear(2, 2)
        gone = weakref.ref(big)
        from_frames(inspect.currentframe())
        del big
        gc.collect()
        return gone()

    assert main() is None


def test_looking_at_a_frame_does_not_change_what_locals_gave():
    def main():
        lr = 0.1
        before = locals()
        names = set(before)
        later = "set after locals() was called"
        from_frames(inspect.currentframe())
        return names, set(before), lr, later

    names, after, _, _ = main()

    assert after - {"names", "before"} == names - {"names", "before"}


SCRIPT = """
import argparse, inspect, json, random
from tracker.capture.hyperparameters import from_frames, flatten
EPOCHS = 3
LEARNING_RATE = 1e-3
API_TOKEN = "Zx81kd92Lm40Qw73Pe55"
lower = 5
WIDTHS = [1, 2]
MODEL = object()
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
options = parser.parse_args()
state = random.getstate()
def train():
    return from_frames(inspect.currentframe())
print(json.dumps([train(), flatten(train()), state == random.getstate()]))
"""


def test_an_unmodified_script_shows_its_parsed_arguments_and_constants(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py", "--lr", "0.5"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, flat, untouched = json.loads(done.stdout)

    assert found["args"] == {"lr": 0.5}
    assert {"EPOCHS": 3, "LEARNING_RATE": 1e-3, "WIDTHS": [1, 2]}.items() <= found["const"].items()
    assert "MODEL" not in found["const"]
    assert "Zx81" not in done.stdout
    assert flat["args/lr"] == "0.5"
    assert flat["const/WIDTHS"] == "[1, 2]"
    assert untouched


def test_the_parameters_of_a_click_command_are_found():
    click = pytest.importorskip("click")
    seen = []

    @click.command()
    @click.option("--width", type=int)
    def command(width):
        seen.append(from_frames(inspect.currentframe())["args"])

    command.main(["--width", "7"], standalone_mode=False)

    assert seen == [{"width": 7}]


def test_an_optimizer_is_described_with_every_group():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[1].parameters()}], lr=torch.tensor(0.1)
    )

    found = describe_optimizer(optimizer)

    assert found["class"] == "torch.optim.adamw.AdamW"
    assert [group["lr"] for group in found["groups"]] == [0.5, pytest.approx(0.1)]
    assert found["groups"][0]["params"] == {"tensors": 2, "elements": 16}
    assert found["groups"][0]["weight_decay"] == 0.01
    assert json.dumps(found, allow_nan=False)


def test_lazy_parameters_have_no_size_and_do_not_fail():
    optimizer = torch.optim.SGD(nn.LazyLinear(3).parameters(), lr=0.1)

    assert describe_optimizer(optimizer)["groups"][0]["params"] == {"tensors": 2, "elements": None}


def test_schedulers_are_described_with_nested_ones_and_their_functions_by_name():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    main = torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, main], milestones=[3])

    found = describe_scheduler(both)

    assert found["milestones"] == [3]
    assert found["schedulers"][1] == {
        "class": "torch.optim.lr_scheduler.StepLR", "step_size": 5, "gamma": 0.5, "base_lrs": [0.1],
    }  # fmt: skip
    assert "lambda" in found["schedulers"][0]["lr_lambdas"][0]


def test_a_loader_is_described_and_its_generator_is_not_drawn_from():
    generator = torch.Generator().manual_seed(11)
    loader = DataLoader(
        TensorDataset(torch.ones(10, 2)), batch_size=4, shuffle=True, generator=generator, drop_last=True
    )
    before = generator.get_state()

    found = describe_loader(loader)

    assert torch.equal(generator.get_state(), before)
    assert {
        "batch_size": 4, "shuffle": True, "drop_last": True, "num_workers": 0, "dataset_length": 10,
        "generator_seed": 11, "sampler": "torch.utils.data.sampler.RandomSampler",
    }.items() <= found.items()  # fmt: skip


def test_a_users_dataset_and_sampler_are_not_run():
    class Data(Dataset):
        def __len__(self):
            raise RuntimeError("never asked")

        def __getitem__(self, n):
            raise RuntimeError("never asked")

    class Order:
        def __iter__(self):
            raise RuntimeError("never asked")

    found = describe_loader(DataLoader(Data(), sampler=Order(), batch_size=2))

    assert found["dataset_length"] is None
    assert found["shuffle"] is None
    assert describe_loader(Hostile())["class"].endswith("Hostile")


def test_shuffling_is_known_for_torchs_own_samplers():
    data = ConcatDataset([TensorDataset(torch.ones(2)), TensorDataset(torch.ones(3))])
    weighted = DataLoader(data, sampler=WeightedRandomSampler([1.0] * 5, 5))

    assert describe_loader(DataLoader(data))["shuffle"] is False
    assert describe_loader(weighted)["shuffle"] is True
    assert describe_loader(weighted)["dataset_length"] == 5


def test_flat_parameters_have_valid_unique_keys_and_bounded_values():
    flat = flatten(
        {
            "a/../b": 1,
            "läng=x!": 2,
            "läng?x!": 3,
            "k" * 400: "v" * 5_000_000,
            "deep": {"list": [{"lr": 0.1}, {"lr": None}]},
        },
        "args",
    )

    assert flat["args/a/b"] == "1"
    assert flat["args/deep/list/0/lr"] == "0.1"
    assert flat["args/deep/list/1/lr"] == "None"
    assert sorted(flat[key] for key in flat if "läng" in key) == ["2", "3"]
    assert all(len(key) <= 250 and len(value) <= 500 for key, value in flat.items())
    assert any("5000000 characters" in value for value in flat.values())


def test_mlflow_accepts_every_flat_key():
    validation = pytest.importorskip("mlflow.utils.validation")
    odd = {"": 1, "..": 2, "/a//b/": 3, "a\nb": 4, "ключ": 5, "x" * 300: 6, "x" * 300 + "y": 7, " pad ": 8, "q?&%#": 9}

    for key in flatten(odd, "args"):
        validation._validate_param_name(key)

    assert len(flatten(odd, "args")) == len(odd)


def test_everything_is_described_in_a_few_milliseconds():
    optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2)) for _ in range(300)], lr=0.1)
    started = time.perf_counter()
    flatten(describe_optimizer(optimizer), "optimizer")
    from_frames(inspect.currentframe())
    seconds = time.perf_counter() - started

    assert seconds < 0.1
