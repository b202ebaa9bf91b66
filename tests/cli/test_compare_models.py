"""`tracker compare-models`: what is named, what is executed, what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tracker.cli.compare_models import Asked, do
from tracker.errors import ConfigError

MINE = """
import torch
from torch import nn
print("executed")

class Net(nn.Module):
    def __init__(self, bent="none"):
        super().__init__()
        self.fc, self.act, self.out = nn.Linear(6, 8), nn.GELU(bent), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.act(self.fc(x)))

def tanh():
    return Net("tanh")

def needy(width):
    return Net()

made = Net()
seven = 7
batch = (torch.zeros(5, 6), torch.zeros(5, dtype=torch.long))

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)

    def forward(self, x):
        return self.head(self.embed(x))
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return "mine.py"


def test_the_same_is_0_and_a_difference_is_1(mine: str, capsys: Any) -> None:
    same = do(f"{mine}:Net", f"{mine}:Net", Asked(shape="5,6"))
    first = capsys.readouterr()
    other = do(f"{mine}:made", f"{mine}:tanh", Asked(shape="5,6"))
    second = capsys.readouterr()

    assert (same, other) == (0, 1)
    assert first.out.startswith("The same")
    assert second.out.startswith("The outputs differ first at act (GELU).")
    assert "mine.py:Net: executes mine.py and makes Net" in first.err


def test_the_machine_form_is_alone_on_stdout(mine: str, capsys: Any) -> None:
    asked = Asked(batch=f"{mine}:batch", loss="cross_entropy", as_json=True)
    code = do(f"{mine}:Net", f"{mine}:tanh", asked)
    printed = capsys.readouterr()
    told = json.loads(printed.out)

    assert code == 1
    assert told["first_gradient"]["a"] == "act"


@pytest.mark.slow
def test_pictures_are_written_where_asked(mine: str, tmp_path: Path) -> None:
    do(f"{mine}:Net", f"{mine}:tanh", Asked(shape="5,6", html=tmp_path / "page.html", png=tmp_path / "page.png"))

    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "page.png").stat().st_size > 1000


def test_a_checkpoint_behind_a_model_is_loaded(mine: str, tmp_path: Path, capsys: Any) -> None:
    layers = {"fc": nn.Linear(6, 8), "out": nn.Linear(8, 3)}
    state = nn.ModuleDict(layers).state_dict()
    torch.save({"model_state_dict": state, "epoch": 3}, tmp_path / "a.pt")
    torch.save({f"module.{name}": tensor + (name == "out.bias") for name, tensor in state.items()}, tmp_path / "b.pt")
    asked = Asked(shape="5,6", as_json=True)
    code = do(f"{mine}:Net@a.pt", f"{mine}:Net@b.pt", asked)
    run = json.loads(capsys.readouterr().out)
    alone = do("a.pt", "b.pt", Asked(as_json=True))
    files = json.loads(capsys.readouterr().out)

    assert (code, alone) == (1, 1)
    assert run["first_output"]["a"] == "out"
    assert [one["a"] for one in run["weights"]] == [one["a"] for one in files["weights"]] == ["out.bias"]
    assert do("a.pt", "a.pt", Asked()) == 0


def test_integers_are_made_below_a_number(mine: str) -> None:
    assert do(f"{mine}:Words", f"{mine}:Words", Asked(shape="2,7", below=9)) == 0


def test_a_table_of_names_is_read(mine: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "names.json").write_text('{"fc": "fc", "out.weight": "out.weight"}')
    code = do(f"{mine}:Net", f"{mine}:Net", Asked(shape="5,6", names=tmp_path / "names.json", as_json=True))
    matched = {one["a"][0]: one["by"] for one in json.loads(capsys.readouterr().out)["matched"]}

    assert code == 0
    assert matched["out.weight"] == "table"


def test_a_pickled_model_is_not_loaded_without_trust(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(3, 2)}, tmp_path / "whole.pt")

    with pytest.raises(ConfigError, match="--trust"):
        do(str(tmp_path / "whole.pt"), str(tmp_path / "whole.pt"), Asked())
    assert do(str(tmp_path / "whole.pt"), str(tmp_path / "whole.pt"), Asked(trust=True)) == 0


@pytest.mark.parametrize(
    ("a", "b", "asked", "said"),
    [
        ("mine.py", "mine.py:Net", {"shape": "5,6"}, "names no model"),
        ("none.py:Net", "mine.py:Net", {"shape": "5,6"}, "no file none.py"),
        ("mine.py:Nett", "mine.py:Net", {"shape": "5,6"}, "has no 'Nett'"),
        ("mine.py:needy", "mine.py:Net", {"shape": "5,6"}, "without arguments"),
        ("mine.py:seven", "mine.py:Net", {"shape": "5,6"}, "of type int"),
        ("mine.py:made", "mine.py:made", {"shape": "5,6"}, "one and the same object"),
        ("mine.py:Net", "mine.py:Net", {}, "--batch FILE.pt, or --shape"),
        ("mine.py:Net", "mine.py:Net", {"shape": "5,x"}, "positive numbers"),
        ("mine.py:Net", "mine.py:Net", {"shape": "5,6", "loss": "crossentropy"}, "cross_entropy"),
        ("mine.py:Net", "mine.py:Net@none.pt", {"shape": "5,6"}, "no file none.pt"),
        ("mine.py:Net", "a.pt", {"shape": "5,6"}, "is a checkpoint, and the other is a model"),
        ("a.pt", "b.pt", {"shape": "5,6"}, "--shape is for models that are run"),
        ("mine.py:Net", "mine.py:Net", {"shape": "5,6", "names": Path("none.json")}, "Expected JSON"),
    ],
)
def test_wrong_usage_says_what_was_expected(mine: str, a: str, b: str, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        do(a, b, Asked(**asked))

    assert said in str(error.value)
