"""What `tracker.rules` offers can be had, and the examples in its words run."""

import inspect
import re
import textwrap

import pytest

import tracker.rules
import tracker.rules.engine
from tracker.rules import Settings
from tracker.rules.engine import runner, settings
from tracker.rules.testing import trace_of


def example(documented):
    """The code block of a docstring."""
    return textwrap.dedent(re.search(r"::\n\n((?: {4}.*\n|\n)+)", inspect.cleandoc(documented.__doc__) + "\n").group(1))


@pytest.mark.parametrize("package", [tracker.rules, tracker.rules.engine])
def test_every_public_name_is_there(package):
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    assert package.__all__ == sorted(package.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))


@pytest.mark.parametrize("package", [tracker.rules, tracker.rules.engine])
def test_a_name_that_is_not_public_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="has no attribute 'Rool'"):
        package.Rool  # noqa: B018


def test_replay_is_the_function_even_after_its_module_was_imported():
    import tracker.rules.engine.replay

    assert callable(tracker.rules.replay)


@pytest.mark.parametrize("documented", [tracker.rules, runner.Engine])
def test_the_python_examples_run(documented, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {**vars(runner), "trace": trace_of({"loss": [1.0] * 30})}
    exec(example(documented), names)

    assert names["engine"].verdict(names["trace"]).suspicious in ("true", "false", "unknown")


def test_the_example_of_a_settings_table_loads(tmp_path):
    (tmp_path / "pyproject.toml").write_text(example(settings), encoding="utf-8")
    loaded = Settings.load(tmp_path)

    assert loaded.rules.patience == 2
    assert loaded.rule["update-ratio"] == {"max_ratio": 0.2}
    assert (
        loaded.suppression("vanishing-gradient", "gradients", "encoder.0.weight") == "frozen on purpose until epoch 5"
    )
