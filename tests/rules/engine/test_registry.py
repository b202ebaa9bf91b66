"""Where rules come from: built in, installed, or the project's own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tracker.rules
from tracker.rules import DuplicateRule, Engine, Phase, Registry, Settings, Trace

RULE = '''
from tracker.rules import Finding, Rule, signals

class {name}(Rule):
    """Fires always."""

    needs = (signals.LOSS,)

    def check(self, trace):
        yield Finding("1", "Look.")
'''


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory on the path, as an installed distribution has; what is imported from it is forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def install(site, name, target):
    """A distribution with an entry point, as pip leaves it behind."""
    info = site / f"{name}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    write(info / "entry_points.txt", f"[tracker.rules]\n{name} = {target}\n")


def test_every_built_in_family_is_walked():
    registry = Registry.discover()

    assert registry.failures == []
    assert {"loss", "gradients", "weights", "schedule", "generalization"} <= set(registry.families())
    assert registry.rules["nonfinite-loss"].family() == "loss"


def test_an_installed_package_is_walked_for_its_rules(site):
    install(site, "acme", "acme_rules")
    write(site / "acme_rules" / "__init__.py", "from .inner.deep import DeepRule\n")
    write(site / "acme_rules" / "inner" / "__init__.py", "")
    write(site / "acme_rules" / "inner" / "deep.py", RULE.format(name="DeepRule"))
    write(site / "acme_rules" / "top.py", RULE.format(name="TopRule"))
    registry = Registry.discover()

    assert registry.failures == []
    assert registry.rules["deep-rule"].family() == "inner"
    assert registry.rules["top-rule"].family() == "acme_rules"


def test_plugins_are_left_alone_when_they_are_switched_off(site, monkeypatch):
    install(site, "acme", "acme_rules")
    write(site / "acme_rules.py", RULE.format(name="TopRule"))
    monkeypatch.setenv("TRACKER_NO_PLUGINS", "1")

    assert "top-rule" not in Registry.discover().rules
    assert "acme_rules" not in sys.modules


@pytest.mark.parametrize(
    ("target", "text", "reason"),
    [
        (
            "acme_rules",
            "import a_module_that_is_not_there\n",
            "could not be imported: ModuleNotFoundError: No module named",
        ),
        ("acme_rules", "raise SystemExit(3)\n", "could not be imported: SystemExit: 3"),
        ("acme_rules", "def broken(:\n", "could not be imported: SyntaxError: "),
        ("acme_absent", "", "could not be imported: ModuleNotFoundError: No module named 'acme_absent'"),
        ("acme_rules:rules", "rules = 3\n", "is a int; expected a module or package with rules in it"),
    ],
)
def test_a_plugin_that_fails_is_a_crashed_outcome_of_the_run(site, target, text, reason):
    install(site, "acme", target)
    write(site / "acme_rules.py", text)
    settings = Settings.load({})
    engine = Engine.from_settings(settings)
    first, second = engine.judge(Phase.EPOCH, Trace()), engine.judge(Phase.EPOCH, Trace())

    assert (first[0].rule, first[0].status.value) == (f"acme ({target})", "crashed")
    assert first[0].reason.startswith(reason)
    assert "crashed" not in [outcome.status.value for outcome in second]
    assert [item["rule"] for item in engine.verdict(Trace()).crashed] == [f"acme ({target})"]


def test_one_broken_module_of_a_plugin_leaves_its_other_rules(site):
    install(site, "acme", "acme_rules")
    write(site / "acme_rules" / "__init__.py", "")
    write(site / "acme_rules" / "broken.py", "1 / 0\n")
    write(site / "acme_rules" / "whole.py", RULE.format(name="WholeRule"))
    registry = Registry.discover()

    assert "whole-rule" in registry.rules
    assert [failure.rule for failure in registry.failures] == ["acme_rules.broken"]


def test_two_rules_of_one_id_are_an_error_that_names_both_modules(site):
    install(site, "acme", "acme_rules")
    write(site / "acme_rules.py", RULE.format(name="NonfiniteLoss"))
    with pytest.raises(DuplicateRule) as error:
        Registry.discover()

    assert error.value.code == "nonfinite-loss"
    assert error.value.modules == ("tracker.rules.loss.nonfinite_loss", "acme_rules")
    assert "'tracker.rules.loss.nonfinite_loss'" in str(error.value)
    assert "'acme_rules'" in str(error.value)


def test_a_rule_that_is_imported_into_another_module_is_no_duplicate(site):
    install(site, "acme", "acme_rules")
    write(site / "acme_rules" / "__init__.py", "from tracker.rules.loss.nonfinite_loss import NonfiniteLoss\n")
    write(site / "acme_rules" / "own.py", "from . import NonfiniteLoss\n")

    assert Registry.discover().failures == []


def test_only_what_a_plugin_defines_itself_is_its_rule(site):
    install(site, "acme", "acme_rules")
    write(site / "other_library.py", RULE.format(name="NotOffered"))
    write(site / "acme_rules.py", "from other_library import NotOffered\n" + RULE.format(name="TopRule"))
    registry = Registry.discover()

    assert "top-rule" in registry.rules
    assert "not-offered" not in registry.rules


def test_local_rules_need_no_packaging(site, tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    write(
        project / "pyproject.toml",
        "[tool.tracker.rules]\nlocal = ['checks.mine', 'tools/own.py']\nselect = ['mine-rule']\n",
    )
    write(project / "checks" / "mine.py", RULE.format(name="MineRule"))
    write(project / "tools" / "own.py", RULE.format(name="OwnRule"))
    path_before = list(sys.path)
    settings = Settings.load(project)

    assert settings.registry.failures == []
    assert settings.registry.rules["mine-rule"].family() == "checks"
    assert settings.registry.rules["own-rule"].family() == "local"
    assert settings.registry.explain_off("mine-rule", settings) is None
    assert settings.registry.explain_off("own-rule", settings) == "not in 'select'"
    assert sys.path == path_before


def test_a_local_file_is_the_same_class_the_second_time(tmp_path):
    write(tmp_path / "own.py", RULE.format(name="OwnRule"))
    first, second = (Registry.discover(["own.py"], tmp_path).rules["own-rule"] for _ in range(2))

    assert first is second


@pytest.mark.parametrize("local", ["checks.absent", "absent.py"])
def test_a_local_rule_that_is_missing_is_a_crashed_outcome(local, tmp_path):
    registry = Registry.discover([local], tmp_path)

    assert [failure.rule for failure in registry.failures] == [local]
    assert registry.failures[0].reason.startswith("could not be imported: ")


def test_a_name_that_a_failed_module_may_have_held_does_not_stop_the_run(tmp_path):
    write(tmp_path / "own.py", "1 / 0\n")
    write(
        tmp_path / "pyproject.toml",
        "[tool.tracker.rules]\nlocal = ['own.py']\nstop = ['own-rule']\n[tool.tracker.rule.own-rule]\nbar = 1\n",
    )
    settings = Settings.load(tmp_path)

    assert [failure.rule for failure in Engine.from_settings(settings).ledger.failures] == ["own.py"]


def test_under_a_private_name_a_plugin_meets_the_same_classes_and_the_user_keeps_their_own_tracker(tmp_path):
    # `tracker run` loads the package so that a module `tracker` of the user's stays theirs.
    write(tmp_path / "tracker.py", "MINE = True\n")
    write(tmp_path / "own.py", RULE.format(name="OwnRule"))
    write(tmp_path / "_private" / "__init__.py", "")
    (tmp_path / "_private" / "rules").symlink_to(Path(tracker.rules.__file__).parent)
    script = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import tracker
        from _private.rules import Registry, Rule
        registry = Registry.discover(["own.py"], __import__("pathlib").Path({str(tmp_path)!r}))
        assert registry.failures == [], registry.failures
        assert issubclass(registry.rules["own-rule"], Rule)
        assert "nonfinite-loss" in registry.rules
        assert tracker.MINE and sys.modules["tracker"] is tracker
        assert not [name for name in sys.modules if name.startswith("tracker.")]
        print("same")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("same\n", "")


def test_importing_the_rules_loads_nothing_heavy():
    script = "import sys, tracker.rules; print(sorted({'torch', 'mlflow', 'numpy', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_judging_needs_neither_torch_nor_mlflow():
    script = (
        "import sys; from tracker.rules import Engine, Phase, Trace; e = Engine.from_settings(); "
        "e.judge(Phase.EPOCH, Trace()); print(sorted({'torch', 'mlflow', 'git', 'rich', 'typer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
